/**
 * The daemon's limits, to be changed while it runs.
 *
 * Invariant: what is saved is what the fields show. They keep their texts themselves, which no drawing of the
 * panel in between can undo.
 */

import { useEffect, useState } from 'preact/hooks'
import { formatBytes, formatRate, parseRate, parseSize } from '../../util/sizes.ts'
import type { LimitsReply, PatchLimits } from '../schema/limits.ts'
import { api } from './api.ts'

type Field = 'maxActiveDownloads' | 'maxUploads' | 'downloadBytesPerSecond' | 'uploadBytesPerSecond' | 'quotaBytes'

const FIELDS: {
  field: Field
  label: string
  hint: string
  show: (value: number) => string
  read: (text: string) => number | undefined
}[] = [
  {
    field: 'downloadBytesPerSecond',
    label: 'Down',
    hint: 'such as 20mbit or 5MB; 0 is no limit',
    show: showRate,
    read: parseRate
  },
  { field: 'uploadBytesPerSecond', label: 'Up', hint: 'the same for what goes out', show: showRate, read: parseRate },
  { field: 'maxActiveDownloads', label: 'Downloads at once', hint: 'the rest waits in order', show: String, read: readCount },
  { field: 'maxUploads', label: 'Uploads at once', hint: 'pieces being sent; 0 is no limit', show: String, read: readCount },
  {
    field: 'quotaBytes',
    label: 'Disk quota',
    hint: 'such as 50GB; 0 is no limit',
    show: value => (value === 0 ? '0' : formatBytes(value)),
    read: parseSize
  }
]

export function LimitsPanel({ onError }: { onError: (err: unknown) => void }) {
  const [reply, setReply] = useState<LimitsReply>()
  const [note, setNote] = useState('')
  useEffect(() => {
    api.limits().then(setReply, onError)
  }, [])
  if (reply === undefined) return null
  const save = (form: HTMLFormElement): void => {
    const change: PatchLimits = {}
    const texts = new FormData(form)
    for (const { field, label, show, read } of FIELDS) {
      const text = String(texts.get(field))
      if (text === show(reply.limits[field])) continue
      const value = read(text.trim())
      if (value === undefined) {
        setNote(`${label}: “${text}” cannot be read`)
        return
      }
      change[field] = value
    }
    if (Object.keys(change).length === 0) return
    api.setLimits(change).then(answer => {
      setReply(answer)
      for (const { field, show } of FIELDS)
        (form.elements.namedItem(field) as HTMLInputElement).value = show(answer.limits[field])
      setNote('Saved')
    }, onError)
  }
  return (
    <details class="panel limits">
      <summary>
        Limits{' '}
        <span class="used">
          disk used {formatBytes(reply.quota.usedBytes)}
          {reply.quota.bytes > 0 && ` of ${formatBytes(reply.quota.bytes)}`}
        </span>
      </summary>
      <form
        onSubmit={event => {
          event.preventDefault()
          save(event.currentTarget)
        }}
        onInput={() => setNote('')}
      >
        {FIELDS.map(({ field, label, hint, show }) => (
          <label key={field}>
            <span>{label}</span>
            <input
              type="text"
              name={field}
              defaultValue={show(reply.limits[field])}
              title={hint}
              aria-description={hint}
              autocomplete="off"
            />
          </label>
        ))}
        <button type="submit" class="primary">
          Save
        </button>
        <p class="note" role="status">
          {note}
        </p>
      </form>
    </details>
  )
}

function showRate(value: number): string {
  return value === 0 ? '0' : formatRate(value)
}

function readCount(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) ? Number(text) : undefined
}
