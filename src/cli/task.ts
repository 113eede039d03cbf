/**
 * `swarm task <action> <task>`: what an operator does with one task of the daemon. The task is named by its
 * id or root, or the beginning of one, or its name.
 */

import type { DaemonClient } from '../api/client/client.ts'
import type { Task } from '../api/schema/tasks.ts'
import { InvalidOptionsError, NotFoundError } from '../errors.ts'
import type { CommonFlags } from './options.ts'
import { taskFields, taskLines } from './task-report.ts'
import type { Ui } from './ui.ts'
import { type DaemonClientFlags, requireDaemon } from './use-daemon.ts'

export type TaskAction =
  | { type: 'pause' | 'resume' | 'cancel' }
  | { type: 'remove'; data: boolean }
  | { type: 'priority'; priority: number }

export async function task(name: string, action: TaskAction, flags: CommonFlags & DaemonClientFlags, ui: Ui): Promise<number> {
  const client = await requireDaemon(flags)
  const found = pickTask(await client.tasks(), name)
  if (action.type === 'remove') {
    const left = await client.deleteTask(found.id, action.data)
    ui.event('removed', { id: found.id, name: found.name, root: found.root, ...left })
    ui.essential(found.id)
    ui.result(`removed   ${found.name}`)
    for (const { path, reason } of [...(left?.changed ?? []), ...(left?.beside ?? [])]) ui.result(`left      ${path} (${reason})`)
    return 0
  }
  const after = await perform(client, found, action)
  ui.event('task', { id: after.id, priority: after.priority, ...taskFields(after) })
  ui.essential(after.state)
  for (const line of taskLines(after)) ui.result(line)
  return 0
}

/** The task after it. */
async function perform(client: DaemonClient, { id }: Task, action: Exclude<TaskAction, { type: 'remove' }>): Promise<Task> {
  switch (action.type) {
    case 'priority':
      return client.updateTask(id, { priority: action.priority })
    default:
      return client.act(id, action.type)
  }
}

/** The one task that is meant. Throws `NotFoundError` for none, `InvalidOptionsError` for several. */
export function pickTask(tasks: readonly Task[], name: string): Task {
  const exact = tasks.filter(each => each.id === name || each.root === name || each.name === name)
  const meant =
    exact.length > 0 ? exact : tasks.filter(({ id, root }) => name !== '' && (id.startsWith(name) || root.startsWith(name)))
  const [first, second] = meant
  if (first === undefined) throw new NotFoundError(`the daemon has no task "${name}"; 'swarm status' shows them`, { task: name })
  if (second !== undefined) {
    const ids = meant.map(({ id }) => id)
    throw new InvalidOptionsError(`"${name}" may be any of ${meant.length} tasks; name one by its id: ${ids.join(', ')}`, {
      field: 'task',
      ids
    })
  }
  return first
}
