/**
 * The dashboard: one page that follows the daemon it came from.
 */

import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { Task } from '../schema/tasks.ts'
import { AddPanel } from './add-panel.tsx'
import { ApiError, api } from './api.ts'
import { HashingList } from './hashing-list.tsx'
import { LimitsPanel } from './limits-panel.tsx'
import { RateChart } from './rate-chart.tsx'
import { type Connection, useRates, useTasks } from './state.ts'
import { TaskRow } from './task-row.tsx'
import { UploadList, useUploads } from './uploads.tsx'

type Access = 'unknown' | 'granted' | 'asked'

function App() {
  const [access, setAccess] = useState<Access>('unknown')
  const [peer, setPeer] = useState('')
  const [open, setOpen] = useState<string>()
  const [problem, setProblem] = useState('')
  const { tasks, hashing, connection } = useTasks(access === 'granted')
  const samples = useRates(tasks)
  const showError = (err: unknown): void => setProblem(err instanceof Error ? err.message : String(err))
  const { uploads, send, discard } = useUploads(access === 'granted', showError)

  const enter = (): void => {
    api.probe().then(
      probe => {
        setPeer(probe.peer)
        setAccess('granted')
      },
      err => {
        if (err instanceof ApiError && err.status === 401) setAccess('asked')
        else setProblem(`The daemon does not answer: ${(err as Error).message}`)
      }
    )
  }
  useEffect(enter, [])

  if (access === 'asked') return <LogIn onDone={enter} />
  return (
    <>
      <Header tasks={tasks} peer={peer} connection={connection} />
      {problem !== '' && (
        <p class="problem" role="alert">
          {problem}{' '}
          <button type="button" onClick={() => setProblem('')}>
            Dismiss
          </button>
        </p>
      )}
      <main>
        <AddPanel onAdded={task => setOpen(task.id)} onUpload={send} />
        <UploadList uploads={uploads} onDiscard={discard} />
        <RateChart samples={samples} />
        <LimitsPanel onError={showError} />
        <HashingList hashing={hashing} />
        <section aria-label="Tasks">
          {tasks.length + hashing.length === 0 ? (
            <p class="empty">Nothing here yet. Paste a link above, drop a manifest, or seed a file.</p>
          ) : (
            <ul class="tasks">
              {tasks.map(task => (
                <TaskRow
                  key={task.id}
                  task={task}
                  open={open === task.id}
                  onToggle={() => setOpen(open === task.id ? undefined : task.id)}
                  onError={showError}
                />
              ))}
            </ul>
          )}
        </section>
      </main>
    </>
  )
}

function Header({ tasks, peer, connection }: { tasks: readonly Task[]; peer: string; connection: Connection }) {
  const active = tasks.filter(task => task.state === 'active').length
  return (
    <header class="top">
      <h1>
        <img src="icon.svg" alt="" width="28" height="28" /> swarm
      </h1>
      <p class="who" title={peer}>
        {active > 0 ? `${active} active · ` : ''}
        {tasks.length} {tasks.length === 1 ? 'task' : 'tasks'}
        {peer !== '' && <span class="mono"> · …{peer.slice(-8)}</span>}
      </p>
      <span class={`connection ${connection}`} role="status">
        {connection === 'live' ? 'live' : connection === 'lost' ? 'connection lost, trying again' : 'connecting'}
      </span>
    </header>
  )
}

function LogIn({ onDone }: { onDone: () => void }) {
  const [token, setToken] = useState('')
  const [problem, setProblem] = useState('')
  return (
    <main class="login">
      <form
        class="panel"
        onSubmit={event => {
          event.preventDefault()
          api.logIn(token).then(onDone, err => setProblem((err as Error).message))
        }}
      >
        <h1>
          <img src="icon.svg" alt="" width="28" height="28" /> swarm
        </h1>
        <label for="token">This daemon asks for its token.</label>
        <input
          id="token"
          type="password"
          required
          autocomplete="current-password"
          value={token}
          onInput={event => setToken(event.currentTarget.value)}
        />
        <button type="submit" class="primary">
          Enter
        </button>
        <p>
          On its machine <code>swarm dashboard</code> logs you in.
        </p>
        <p class="error" role="alert">
          {problem}
        </p>
      </form>
    </main>
  )
}

const root = document.getElementById('app')
if (root !== null) {
  root.replaceChildren()
  render(<App />, root)
}
