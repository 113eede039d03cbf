/**
 * Getting and seeding: paste a link or a manifest's URL, drop or choose a manifest or a file to upload, name a file of the daemon's machine.
 */

import { useRef, useState } from 'preact/hooks'
import type { AddTask, Task } from '../schema/tasks.ts'
import { ApiError, api } from './api.ts'

interface Note {
  kind: 'good' | 'bad'
  text: string
}

export function AddPanel({ onAdded, onUpload }: { onAdded: (task: Task) => void; onUpload: (file: File) => void }) {
  const [source, setSource] = useState('')
  const [path, setPath] = useState('')
  const [busy, setBusy] = useState(false)
  const [over, setOver] = useState(false)
  const [note, setNote] = useState<Note>()
  const chooser = useRef<HTMLInputElement>(null)

  const add = async (make: () => Promise<AddTask> | AddTask, done: () => void): Promise<void> => {
    setBusy(true)
    setNote(undefined)
    try {
      const task = await api.addTask(await make())
      setNote({ kind: 'good', text: `${task.kind === 'seed' ? 'Seeding' : 'Added'} ${task.name}` })
      done()
      onAdded(task)
    } catch (err) {
      setNote({ kind: 'bad', text: err instanceof ApiError || err instanceof SyntaxError ? err.message : String(err) })
    } finally {
      setBusy(false)
    }
  }

  const addFiles = (files: FileList | null | undefined): void => {
    for (const file of files ?? []) {
      if (file.name.endsWith('.swarm'))
        void add(
          async () => ({ manifest: parseManifest(file.name, await file.text()) }),
          () => {}
        )
      else onUpload(file)
    }
    // So that the same file can be chosen again.
    if (chooser.current !== null) chooser.current.value = ''
  }

  return (
    <section
      class={`panel add${over ? ' over' : ''}`}
      aria-label="Get or seed"
      onDragOver={event => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={event => {
        event.preventDefault()
        setOver(false)
        addFiles(event.dataTransfer?.files)
      }}
    >
      <form
        onSubmit={event => {
          event.preventDefault()
          void add(
            () => ({ source: source.trim() }),
            () => setSource('')
          )
        }}
      >
        <label for="source">Get</label>
        <input
          id="source"
          type="text"
          placeholder="swarm:… link, or URL of a manifest"
          required
          autocomplete="off"
          spellcheck={false}
          value={source}
          onInput={event => setSource(event.currentTarget.value)}
        />
        <button type="submit" class="primary" disabled={busy}>
          Get
        </button>
        <label class="button file">
          File…
          <input
            ref={chooser}
            type="file"
            multiple
            aria-label="Choose a manifest, or files to upload and seed"
            onChange={event => addFiles(event.currentTarget.files)}
          />
        </label>
      </form>
      <form
        onSubmit={event => {
          event.preventDefault()
          void add(
            () => ({ seed: path.trim() }),
            () => setPath('')
          )
        }}
      >
        <label for="path">Seed</label>
        <input
          id="path"
          type="text"
          placeholder="/path/of/a/file/on/the/daemon’s/machine"
          required
          autocomplete="off"
          spellcheck={false}
          value={path}
          onInput={event => setPath(event.currentTarget.value)}
        />
        <button type="submit" disabled={busy}>
          Seed
        </button>
      </form>
      <p class={`note ${note?.kind ?? ''}`} role="status">
        {busy ? 'Working…' : (note?.text ?? 'A manifest, or a file to upload and seed, may also be dropped here.')}
      </p>
    </section>
  )
}

/** Whether it holds is the daemon's to say. */
function parseManifest(name: string, text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch (err) {
    throw new SyntaxError(`${name} is no manifest: ${(err as Error).message}`)
  }
}
