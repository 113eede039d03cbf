/**
 * Getting and seeding: paste a link or a manifest's URL, drop or choose a manifest or a file to upload, name
 * a file of the daemon's machine.
 */

import type { ComponentChildren } from 'preact'
import { useRef, useState } from 'preact/hooks'
import type { AddTask, Task } from '../schema/tasks.ts'
import { ApiError, api } from './api.ts'

interface Note {
  kind: 'good' | 'bad'
  text: string
}

/** Adds tasks one at a time, and says what became of the last. */
function useAdding(onAdded: (task: Task) => void) {
  const [busy, setBusy] = useState(false)
  const [note, setNote] = useState<Note>()
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
  return { add, busy, note }
}

export function AddPanel({ onAdded, onUpload }: { onAdded: (task: Task) => void; onUpload: (file: File) => void }) {
  const [over, setOver] = useState(false)
  const { add, busy, note } = useAdding(onAdded)
  const chooser = useRef<HTMLInputElement>(null)

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
      <TextForm
        id="source"
        label="Get"
        placeholder="swarm:… link, or URL of a manifest"
        isMain
        busy={busy}
        onText={(text, done) => void add(() => ({ source: text }), done)}
      >
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
      </TextForm>
      <TextForm
        id="path"
        label="Seed"
        placeholder="/path/of/a/file/on/the/daemon’s/machine"
        busy={busy}
        onText={(text, done) => void add(() => ({ seed: text }), done)}
      />
      <p class={`note ${note?.kind ?? ''}`} role="status">
        {busy ? 'Working…' : (note?.text ?? 'A manifest, or a file to upload and seed, may also be dropped here.')}
      </p>
    </section>
  )
}

interface TextFormProps {
  id: string
  /** Of the field, and of its button. */
  label: string
  placeholder: string
  isMain?: boolean
  busy: boolean
  /** `done` empties the field. */
  onText: (text: string, done: () => void) => void
  children?: ComponentChildren
}

function TextForm({ id, label, placeholder, isMain = false, busy, onText, children }: TextFormProps) {
  const [text, setText] = useState('')
  return (
    <form
      onSubmit={event => {
        event.preventDefault()
        onText(text.trim(), () => setText(''))
      }}
    >
      <label for={id}>{label}</label>
      <input
        id={id}
        type="text"
        placeholder={placeholder}
        required
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={event => setText(event.currentTarget.value)}
      />
      <button type="submit" {...(isMain ? { class: 'primary' } : {})} disabled={busy}>
        {label}
      </button>
      {children}
    </form>
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
