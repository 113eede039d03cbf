/**
 * Started by docker-lab.ts beside a run, in a session of its own so that no Ctrl-C reaches it: waits for the
 * rig's end of the pipe to close and removes what the rig left, unless it said that it was done.
 */

import { sweep } from './docker-lab.ts'

let said = ''
process.stdin.on('data', chunk => {
  said += String(chunk)
})
process.stdin.on('close', () => {
  if (said !== 'done\n') void sweep()
})
