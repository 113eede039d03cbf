/**
 * The central server of the baseline: it gives one file to every client. `node http-server.ts <file> <port>`.
 */

import { createReadStream, statSync } from 'node:fs'
import { createServer } from 'node:http'

const [file = '', port = '0'] = process.argv.slice(2)
const { size } = statSync(file)
const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-length': size })
  createReadStream(file, { highWaterMark: 256 * 1024 })
    .on('error', err => response.destroy(err))
    .pipe(response)
})
server.listen(Number(port), () => console.log('{"event":"listening"}'))
