import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loggerUnlessWanted } from '../../src/network/quiet-logger.ts'

test('libp2p logs nothing, and makes no logger for each connection, unless somebody asked for logs', () => {
  assert.equal(loggerUnlessWanted('libp2p:*'), undefined)
  const logger = loggerUnlessWanted('')?.forComponent('libp2p:tcp')
  assert.ok(logger)
  assert.equal(logger.enabled, false)
  assert.equal(logger.newScope('connection'), logger)
  for (const log of [logger, logger.error, logger.trace]) assert.equal(log('anything'), undefined)
})
