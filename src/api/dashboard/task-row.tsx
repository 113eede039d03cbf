/**
 * One task: its progress, what it waits for, and what can be done with it.
 */

import { useRef, useState } from 'preact/hooks'
import { formatBytes, formatDuration, formatRate } from '../../util/sizes.ts'
import type { Removed, Task } from '../schema/tasks.ts'
import { api } from './api.ts'
import { ProgressBar } from './progress-bar.tsx'
import { TaskDetail } from './task-detail.tsx'

interface Props {
  task: Task
  open: boolean
  onToggle: () => void
  onError: (err: unknown) => void
}

export function TaskRow({ task, open, onToggle, onError }: Props) {
  const share =
    task.bytesTotal === null || task.bytesTotal === 0 ? (task.state === 'complete' ? 1 : 0) : task.bytesDone / task.bytesTotal
  const percent = Math.floor(share * 1000) / 10
  return (
    <li class={`task ${task.state}`}>
      <div class="head">
        <button type="button" class="name" aria-expanded={open} onClick={onToggle}>
          <span class="marker" aria-hidden="true">
            {open ? '▾' : '▸'}
          </span>
          <span class="text">{task.name}</span>
        </button>
        <span class={`badge ${task.state}`}>{stateText(task)}</span>
      </div>
      <ProgressBar label={`Progress of ${task.name}`} percent={percent} />
      <div class="facts">
        <span>{facts(task, percent)}</span>
        <span class="rates">
          {task.state === 'active' && task.downloadRate > 0 && <span class="down">↓ {formatRate(task.downloadRate)}</span>}
          {task.uploadRate > 0 && <span class="up">↑ {formatRate(task.uploadRate)}</span>}
        </span>
      </div>
      {task.waitingFor !== null && <p class="waiting">Waiting: {task.waitingFor}</p>}
      {task.error !== null && (
        <p class="error" role="alert">
          {task.error.message}
        </p>
      )}
      <Actions task={task} onError={onError} />
      {open && <TaskDetail task={task} />}
    </li>
  )
}

function Actions({ task, onError }: Pick<Props, 'task' | 'onError'>) {
  const attempt = (action: Promise<unknown>): void => {
    action.catch(onError)
  }
  const canPause = task.state === 'active' || task.state === 'queued'
  const canResume = task.state === 'paused' || task.state === 'failed' || task.state === 'cancelled' || task.state === 'evicted'
  return (
    <div class="actions">
      {canPause && (
        <button type="button" onClick={() => attempt(api.act(task.id, 'pause'))}>
          Pause
        </button>
      )}
      {canResume && (
        <button type="button" onClick={() => attempt(api.act(task.id, 'resume'))}>
          Resume
        </button>
      )}
      {(canPause || task.state === 'paused') && (
        <button type="button" onClick={() => attempt(api.act(task.id, 'cancel'))}>
          Cancel
        </button>
      )}
      {task.state === 'queued' && (
        <button type="button" onClick={() => attempt(api.updateTask(task.id, { priority: Math.min(1000, task.priority + 1) }))}>
          Sooner
        </button>
      )}
      {(task.state === 'complete' || task.state === 'active') && (
        <a class="button" href={task.url} target="_blank" rel="noreferrer">
          Open
        </a>
      )}
      {task.link !== null && <CopyButton text={task.link} />}
      {task.kind === 'get' && (
        <button
          type="button"
          aria-pressed={task.pinned}
          onClick={() => attempt(api.updateTask(task.id, { pinned: !task.pinned }))}
        >
          {task.pinned ? 'Unpin' : 'Pin'}
        </button>
      )}
      <DeleteButton task={task} onError={onError} />
    </div>
  )
}

function stateText(task: Task): string {
  if (task.state === 'queued' && task.position !== null) return `queued, ${task.position}.`
  if (task.state === 'complete') return task.kind === 'seed' ? 'seeding' : 'complete'
  return task.state
}

function facts(task: Task, percent: number): string {
  const peers = `${task.neighbours} ${task.neighbours === 1 ? 'peer' : 'peers'}`
  const total = task.bytesTotal === null ? 'size not known yet' : formatBytes(task.bytesTotal)
  if (task.state === 'complete') return `${total} · ${peers} · gave ${formatBytes(task.bytesUploaded)}`
  const eta = task.state === 'active' && task.etaMs !== null ? ` · ${formatDuration(task.etaMs)} left` : ''
  return `${percent} % · ${formatBytes(task.bytesDone)} of ${total} · ${peers}${eta}`
}

function CopyButton({ text }: { text: string }) {
  const [copied, setCopied] = useState(false)
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text)
      setCopied(true)
      setTimeout(() => setCopied(false), 2000)
    } catch {
      // Pages on plain http beyond localhost may not write the clipboard.
      prompt('Link', text)
    }
  }
  return (
    <button type="button" onClick={() => void copy()}>
      {copied ? 'Copied' : 'Copy link'}
    </button>
  )
}

function DeleteButton({ task, onError }: { task: Task; onError: (err: unknown) => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const remove = (data: boolean): void => {
    dialog.current?.close()
    const told = (left: Removed | undefined): void => {
      const paths = [...(left?.changed ?? []), ...(left?.beside ?? [])].map(({ path, reason }) => `${path} (${reason})`)
      if (paths.length > 0) onError(new Error(`Left on disk: ${paths.join(', ')}`))
    }
    api.deleteTask(task.id, data).then(told).catch(onError)
  }
  return (
    <>
      <button type="button" class="danger" onClick={() => dialog.current?.showModal()}>
        Delete
      </button>
      <dialog ref={dialog} aria-label={`Delete ${task.name}`}>
        <p>
          Delete the task <strong>{task.name}</strong>?
        </p>
        <div class="actions">
          <button type="button" onClick={() => remove(false)}>
            {task.kind === 'seed' ? 'Stop sharing' : 'Keep the data'}
          </button>
          {task.kind === 'get' && (
            <button type="button" class="danger" onClick={() => remove(true)}>
              Delete the data too
            </button>
          )}
          <button type="button" onClick={() => dialog.current?.close()}>
            Back
          </button>
        </div>
      </dialog>
    </>
  )
}
