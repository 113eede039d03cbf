/**
 * The dashboard in headless Chromium, as a person uses it: with a mouse, with the keyboard alone, on a desktop and on a phone; and a
 * video that is watched and sought in while it downloads. SWARM_SCREENSHOTS=<folder> keeps the pictures (docs/ has them).
 */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { Task } from '../../../src/api/schema/tasks.ts'
import type { UploadList } from '../../../src/api/schema/uploads.ts'
import { eventually, run, type TestDaemon, until, untilComplete, World } from '../fixture.ts'

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path => existsSync(path))
const FFMPEG = existsSync('/usr/bin/ffmpeg')
const MB = 1_000_000
/** Far beyond what anything takes. */
const DEADLINE_MS = 180_000
const DESKTOP = { width: 1180, height: 900 }
const PHONE = { width: 390, height: 844 }

describe('the dashboard', {
  skip: CHROMIUM === undefined ? 'Chromium is not installed (apt-get install chromium)' : false
}, () => {
  let world: World
  let browser: Browser
  let seeder: TestDaemon
  let seeds: Task[]
  let daemons = 0

  before(async () => {
    world = await World.open()
    browser = await chromium.launch({
      executablePath: CHROMIUM as string,
      args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'],
      timeout: DEADLINE_MS
    })
    seeder = await world.daemon('seeder')
    seeds = []
    for (const [name, bytes] of [
      ['debian-13-netinst.iso', 40 * MB],
      ['model weights.safetensors', 25 * MB],
      ['team photos.tar', 6 * MB],
      ['backup 2026-11-21.tar.zst', 3 * MB]
    ] as const) {
      seeds.push(await seeder.client.addTask({ seed: await world.file(name, bytes) }))
    }
  })
  after(async () => {
    await browser?.close()
    await world.close()
  })

  /** A page on a new daemon. What it must never do fails the test: errors, blocked content, requests to other hosts. */
  const open = async (
    flags = {},
    viewport = DESKTOP,
    colorScheme: 'light' | 'dark' = 'light'
  ): Promise<{ page: Page; daemon: TestDaemon; faults: string[] }> => {
    const daemon = await world.daemon(`daemon-${daemons++}`, flags)
    const context = await browser.newContext({
      viewport,
      colorScheme,
      deviceScaleFactor: 1,
      permissions: ['clipboard-read', 'clipboard-write']
    })
    context.setDefaultTimeout(DEADLINE_MS)
    const page = await context.newPage()
    const faults: string[] = []
    page.on('pageerror', err => faults.push(`error: ${err.message}`))
    page.on('console', message => {
      if (message.type() === 'error' && !/401/.test(message.text())) faults.push(`console: ${message.text()}`)
    })
    page.on('request', request => {
      const { origin, protocol } = new URL(request.url())
      if (protocol.startsWith('http') && origin !== daemon.url) faults.push(`request to ${request.url()}`)
    })
    await page.goto(daemon.url)
    return { page, daemon, faults }
  }

  const linkOf = (i: number): string => seeds[i]?.link ?? assert.fail()
  const row = (page: Page, name: string) => page.locator('li.task', { hasText: name })

  test('a pasted link becomes a task that moves, can be paused and resumed, and completes', async () => {
    const { page, daemon, faults } = await open({ 'download-limit': '300kB' })
    await page.getByLabel('Get', { exact: true }).fill(linkOf(2))
    await page.getByRole('button', { name: 'Get', exact: true }).click()
    const task = row(page, 'team photos.tar')
    await task.getByRole('button', { name: 'Pause' }).click()
    await task.locator('.badge', { hasText: 'paused' }).waitFor()
    await task.getByRole('button', { name: 'Resume' }).click()
    const bar = task.getByRole('progressbar')
    await eventually(async () => Number(await bar.getAttribute('aria-valuenow')) > 10, 'the bar moves')
    await daemon.client.setLimits({ downloadBytesPerSecond: 0 })
    await task.locator('.badge', { hasText: 'complete' }).waitFor()
    // It was opened when it was added: pieces, who gave what, peers.
    await task.getByRole('img', { name: /^23 of 23 pieces are here/ }).waitFor()
    await task.locator('.sources', { hasText: '6.00 MB' }).waitFor()
    await task.getByRole('cell', { name: '100 %' }).waitFor()
    await task.getByRole('button', { name: 'Copy link' }).click()
    await task.getByRole('button', { name: 'Copied' }).waitFor()
    assert.match(await page.evaluate('navigator.clipboard.readText()'), /^swarm:[0-9a-f]{64}/)
    assert.deepEqual(faults, [])
  })

  test('a manifest is taken by choosing it and by dropping it, and what is none is refused in words', async () => {
    const { page, faults } = await open()
    const manifest = await seeder.client.manifest(seeds[3]?.id ?? '')
    const withPeers = JSON.stringify({ ...JSON.parse(manifest), peers: seeder.daemon.node.addresses() })
    const file = (name: string, text: string) => ({ name, mimeType: 'application/json', buffer: Buffer.from(text) })
    await page.getByLabel('Choose a manifest').setInputFiles(file('notes.swarm', 'hello'))
    await page.getByText('notes.swarm is no manifest').waitFor()
    await page.getByLabel('Choose a manifest').setInputFiles(file('x.swarm', withPeers))
    await row(page, 'backup 2026').locator('.badge', { hasText: 'complete' }).waitFor()

    const other = JSON.stringify({
      ...JSON.parse(await seeder.client.manifest(seeds[2]?.id ?? '')),
      peers: seeder.daemon.node.addresses()
    })
    const transfer = await page.evaluateHandle(
      `{ const data = new DataTransfer(); data.items.add(new File([${JSON.stringify(other)}], 'dropped.swarm')); data }`
    )
    await page.dispatchEvent('.add', 'drop', { dataTransfer: transfer })
    await row(page, 'team photos.tar').locator('.badge', { hasText: 'complete' }).waitFor()
    assert.deepEqual(faults, [])
  })

  test('a file of the machine is seeded, and a path outside of the opened folders is refused in words', async () => {
    const { page, daemon, faults } = await open()
    const path = join(daemon.daemon.options.completeDir, 'mine.bin')
    await writeFile(path, 'x'.repeat(100_000))
    await page.getByLabel('Seed', { exact: true }).fill('/etc/passwd')
    await page.getByRole('button', { name: 'Seed', exact: true }).click()
    await page.getByText('outside of the folders').waitFor()
    await page.getByLabel('Seed', { exact: true }).fill(path)
    await page.getByLabel('Seed', { exact: true }).press('Enter')
    await row(page, 'mine.bin').locator('.badge', { hasText: 'seeding' }).waitFor()
    assert.equal(faults.filter(fault => !/403/.test(fault)).length, 0, faults.join('\n'))
  })

  for (const [name, viewport] of [
    ['desktop', DESKTOP],
    ['phone', PHONE]
  ] as const) {
    test(`what is being hashed shows on a ${name}, also after a reload, until it is over`, async () => {
      const { page, daemon, faults } = await open({}, viewport)
      const path = await world.endlessFile(`${name}-${'long'.repeat(40)}.bin`)
      const leave = new AbortController()
      const asked = assert.rejects(daemon.client.addTask({ seed: path }, leave.signal))
      const shown = page.locator('li.hashing', { hasText: path })
      const facts = shown.getByText(/% · [\d.]+ [kMGT]?B of 1\.10 TB/)
      const before = await facts.textContent()
      await page.reload()
      await eventually(async () => (await facts.textContent()) !== before, 'it moves')
      await page.getByRole('progressbar', { name: `Hashing ${path}` }).waitFor()
      assert.equal(await page.getByText('Nothing here yet').count(), 0)
      const [wide, inner] = (await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')) as [number, number]
      assert.ok(wide <= inner, `${wide} px wide in a window of ${inner}`)
      const folder = process.env.SWARM_SCREENSHOTS
      if (folder !== undefined) await page.screenshot({ path: join(folder, `hashing-${name}.png`) })
      leave.abort()
      await asked
      await shown.waitFor({ state: 'detached' })
      await page.getByText('Nothing here yet').waitFor()
      assert.deepEqual(faults, [])
    })
  }

  test('the keyboard alone adds, opens and deletes a task, and always shows where it is', async () => {
    const { page, daemon, faults } = await open()
    await page.getByLabel('Get', { exact: true }).waitFor()
    const focused = (): Promise<string> =>
      page.evaluate(
        'document.activeElement.getAttribute("aria-label") ?? document.activeElement.id + document.activeElement.textContent'
      )
    const tabTo = async (what: RegExp): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press('Tab')
        if (!what.test(await focused())) continue
        const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')
        assert.notEqual(outline, 'none', `${what} shows that it has the focus`)
        return
      }
      assert.fail(`no way to ${what} by keyboard`)
    }
    await tabTo(/^source/)
    await page.keyboard.insertText(linkOf(3))
    await page.keyboard.press('Enter')
    await row(page, 'backup 2026').locator('.badge', { hasText: 'complete' }).waitFor()
    await tabTo(/backup 2026/)
    const isOpen = (): Promise<string | null> => row(page, 'backup').locator('.name').getAttribute('aria-expanded')
    assert.equal(await isOpen(), 'true')
    await page.keyboard.press('Enter')
    assert.equal(await isOpen(), 'false')
    await tabTo(/^Delete$/)
    await page.keyboard.press('Enter')
    await tabTo(/Delete the data too/)
    await page.keyboard.press('Enter')
    await page.getByText('Nothing here yet').waitFor()
    assert.deepEqual(await daemon.client.tasks(), [])
    assert.deepEqual(faults, [])
  })

  test('a dropped file is uploaded and seeded; after a reload half way the same file goes on where it was', async () => {
    const { page, daemon, faults } = await open()
    const length = 12 * MB
    const offsets: number[] = []
    page.on('request', async request => {
      if (request.method() === 'PATCH') offsets.push(Number((await request.allHeaders())['upload-offset']))
    })
    const dropFile = async (): Promise<void> => {
      // Of an arithmetic that both sides can do; the browser makes the file itself.
      const transfer = await page.evaluateHandle(`(() => {
        const bytes = Uint8Array.from({ length: ${length} }, (_, i) => (i * 2654435761) >>> 24)
        const transfer = new DataTransfer()
        transfer.items.add(new File([bytes], 'dropped film.bin', { lastModified: 1700000000000 }))
        return transfer
      })()`)
      await page.locator('section.add').dispatchEvent('drop', { dataTransfer: transfer })
    }
    const network = await page.context().newCDPSession(page)
    const throttle = (uploadThroughput: number): Promise<unknown> =>
      network.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput })
    await throttle(MB / 2)
    await dropFile()
    const received = async (): Promise<number> =>
      ((await (await fetch(`${daemon.url}/v1/uploads`)).json()) as UploadList).uploads[0]?.received ?? 0
    await eventually(async () => (await received()) > MB, 'a part has come')
    await page.reload()
    await page.getByText('Drop the same file here again').waitFor()
    const there = await received()
    assert.ok(there < length)
    assert.ok(Number(await page.getByRole('progressbar', { name: 'Upload of dropped' }).getAttribute('aria-valuenow')) > 0)
    await throttle(-1)
    await dropFile()
    await row(page, 'dropped film.bin').locator('.badge', { hasText: 'complete' }).waitFor()
    await page.locator('.upload').waitFor({ state: 'detached' })
    assert.equal(offsets.length, 2)
    assert.ok((offsets[1] as number) >= there, `went on from ${offsets[1]}, ${there} bytes were there`)
    const [task] = await daemon.client.tasks()
    const expected = Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 2654435761) >>> 24))
    assert.ok((await readFile(task?.path as string)).equals(expected))
    assert.deepEqual(faults, [])
  })

  test('an upload left half way can be discarded', async () => {
    const { page, daemon, faults } = await open({ 'max-upload-size': '1MB' })
    const uploads = async (): Promise<number> =>
      ((await (await fetch(`${daemon.url}/v1/uploads`)).json()) as UploadList).uploads.length
    const choose = (bytes: number): Promise<void> =>
      page
        .getByLabel('Choose a manifest')
        .setInputFiles({ name: 'left.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(bytes) })
    await choose(2 * MB)
    await page.locator('.upload .error').waitFor()
    await page.getByRole('button', { name: 'Discard the upload of left.bin' }).click()
    await page.locator('.upload').waitFor({ state: 'detached' })
    await page.route('**/uploads/*', route => (route.request().method() === 'PATCH' ? route.abort() : route.continue()))
    await choose(MB / 2)
    await eventually(async () => (await uploads()) === 1, 'the upload has begun')
    await page.getByRole('button', { name: 'Discard the upload of left.bin' }).click()
    await eventually(async () => (await uploads()) === 0, 'the daemon has forgotten it')
    await page.reload()
    await page.getByText('Nothing here yet').waitFor()
    assert.equal(await page.locator('.upload').count(), 0)
    assert.deepEqual(
      faults.filter(fault => !/status of 413|ERR_FAILED/.test(fault)),
      []
    )
  })

  test('limits are shown and changed', async () => {
    const { page, daemon, faults } = await open()
    await page.getByText('Limits').click()
    await page.getByLabel('Down', { exact: true }).fill('fast')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('cannot be read').waitFor()
    await page.getByLabel('Down', { exact: true }).fill('20mbit')
    await page.getByLabel('Downloads at once').fill('7')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved').waitFor()
    const { limits } = await daemon.client.limits()
    assert.deepEqual([limits.downloadBytesPerSecond, limits.maxActiveDownloads], [2_500_000, 7])
    assert.deepEqual(faults, [])
  })

  test('with a token it asks for it, refuses a wrong one, and lets the right one in', async () => {
    const { page, faults } = await open({ token: 'correct-horse-battery' })
    const field = page.getByLabel('This daemon asks for its token.')
    await field.fill('wrong')
    await page.getByRole('button', { name: 'Enter' }).click()
    await page.getByText('the token is wrong').waitFor()
    await field.fill('correct-horse-battery')
    await page.getByRole('button', { name: 'Enter' }).click()
    await page.getByText('Nothing here yet').waitFor()
    await page.locator('.connection.live').waitFor()
    assert.deepEqual(faults, [])
  })

  for (const [name, viewport, scheme] of [
    ['desktop', DESKTOP, 'light'],
    ['phone', PHONE, 'dark']
  ] as const) {
    test(`a busy daemon is readable on a ${name}, without scrolling sideways`, async () => {
      const { page, daemon, faults } = await open({ 'max-downloads': '1' }, viewport, scheme)
      const done = await daemon.client.addTask({ source: linkOf(3) })
      await untilComplete(daemon.client, done.id)
      await daemon.client.setLimits({ downloadBytesPerSecond: 2 * MB })
      const active = await daemon.client.addTask({ source: linkOf(0) })
      await daemon.client.addTask({ source: linkOf(1) })
      await daemon.client.addTask({ source: linkOf(2), paused: true })
      await page.reload()
      await page.locator('.name', { hasText: 'debian' }).click()
      await until(daemon.client, active.id, task => task.bytesDone > 14 * MB)
      await page.locator('.peers, table').first().waitFor()
      const [wide, inner] = (await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')) as [number, number]
      assert.ok(wide <= inner, `${wide} px wide in a window of ${inner}`)
      const folder = process.env.SWARM_SCREENSHOTS
      if (folder !== undefined) await page.screenshot({ path: join(folder, `dashboard-${name}.png`), fullPage: true })
      assert.deepEqual(faults, [])
    })
  }

  test('a video is watched, and sought in, while it downloads', {
    skip: FFMPEG ? false : 'ffmpeg is not installed (apt-get install ffmpeg)'
  }, async () => {
    const path = join(world.folder, 'film.mp4')
    const made = await run('ffmpeg', [
      '-v',
      'error',
      '-f',
      'lavfi',
      '-i',
      'testsrc2=size=640x360:rate=25:duration=60',
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-b:v',
      '4M',
      '-pix_fmt',
      'yuv420p',
      '-movflags',
      '+faststart',
      path
    ])
    assert.equal(made.code, 0, made.stderr)
    const { size } = await stat(path)
    const seed = await seeder.client.addTask({ seed: path })
    const { page, daemon, faults } = await open({ 'download-limit': '500kB' })
    const ranges: string[] = []
    page.on('response', response => {
      const range = response.headers()['content-range']
      if (range !== undefined) ranges.push(range)
    })
    const { id } = await daemon.client.addTask({ source: seed.link ?? '' })
    const task = await until(daemon.client, id, ({ bytesDone }) => bytesDone > 0)
    await page.evaluate(`{
      const video = document.createElement('video')
      video.muted = true
      video.src = ${JSON.stringify(task.url)}
      document.body.append(video)
      globalThis.video = video
      video.play()
    }`)
    // Polled from here: the page's own policy forbids the evaluation that waitForFunction does.
    await eventually(() => page.evaluate('globalThis.video.currentTime > 0.5'), 'it plays')
    assert.ok(Math.abs(Number(await page.evaluate('globalThis.video.duration')) - 60) < 1)
    await page.evaluate('globalThis.video.currentTime = 55')
    await eventually(
      () => page.evaluate('!globalThis.video.seeking && globalThis.video.currentTime > 55.2 && globalThis.video.readyState >= 2'),
      'it plays at the new place'
    )
    const { state, bytesDone } = await daemon.client.task(id)
    assert.equal(state, 'active')
    assert.ok(bytesDone < size * 0.9, 'it played the end before everything was there')
    const starts = ranges.map(range => Number(/bytes (\d+)-/.exec(range)?.[1]))
    assert.ok(Math.max(...starts) > size / 2, `ranges asked for: ${ranges.join(', ')}`)
    assert.deepEqual(faults, [])
    console.log(`sought to 55 of 60 s with ${Math.round((bytesDone / size) * 100)} % of ${(size / MB).toFixed(0)} MB there`)
  })

  test('what the gateway serves cannot use the dashboard’s rights', async () => {
    const { page, daemon } = await open()
    const path = join(daemon.daemon.options.completeDir, 'evil.html')
    await writeFile(path, '<script>fetch("/v1/tasks").then(() => document.title = "in")</script><h1>evil</h1>')
    const { url } = await daemon.client.addTask({ seed: path })
    await page.goto(daemon.url + url)
    await page.getByText('evil').waitFor()
    assert.equal(await page.title(), '')
    assert.equal(await page.evaluate('self.origin'), 'null')
    assert.ok((await readFile(path)).byteLength > 0)
  })
})
