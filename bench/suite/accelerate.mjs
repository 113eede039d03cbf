// Preloaded into a process whose hours shall pass in minutes: from SIGUSR2 on timers fire, and clocks run, BENCH_SPEED times as fast. Not
// from the start: handshakes would time out as much faster, and fifty at once need their time.

import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers'
import promises from 'node:timers/promises'

let speed = 1
const { setTimeout: realTimeout, setInterval: realInterval } = globalThis
const realNow = Date.now.bind(Date)
const realPerformanceNow = performance.now.bind(performance)
// When the speed changed: on the real clock, and on both of ours.
let realMs = realPerformanceNow()
let dateMs = realNow()
let performanceMs = realMs

const quick = ms => (ms === undefined ? ms : ms / speed)
const setTimeoutFast = Object.assign((handler, ms, ...args) => realTimeout(handler, quick(ms), ...args), realTimeout)
const intervals = new Set()
const setIntervalFast = (handler, ms, ...args) => {
  const interval = realInterval(handler, quick(ms), ...args)
  if (speed === 1) intervals.add(interval)
  return interval
}
for (const target of [globalThis, timers]) Object.assign(target, { setTimeout: setTimeoutFast, setInterval: setIntervalFast })
const realSleep = promises.setTimeout
promises.setTimeout = (ms, ...args) => realSleep(quick(ms), ...args)
syncBuiltinESMExports()
Date.now = () => Math.floor(dateMs + (realPerformanceNow() - realMs) * speed)
performance.now = () => performanceMs + (realPerformanceNow() - realMs) * speed
const realSignal = AbortSignal.timeout.bind(AbortSignal)
AbortSignal.timeout = ms => realSignal(Math.ceil(ms / speed))

process.once('SIGUSR2', () => {
  const nowMs = realPerformanceNow()
  dateMs += nowMs - realMs
  performanceMs += nowMs - realMs
  realMs = nowMs
  speed = Number(process.env.BENCH_SPEED ?? 1)
  for (const interval of intervals) {
    // No public way leads to the period of an interval that runs.
    if (interval._destroyed) continue
    interval._repeat /= speed
    interval._idleTimeout /= speed
    interval.refresh()
  }
  intervals.clear()
})
