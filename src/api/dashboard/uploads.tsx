/**
 * Files that are brought to the daemon by tus: dropped, sent, and gone on with after a reload.
 *
 * A page cannot keep a file over a reload. What it keeps is where the upload is and which file it was (name,
 * size, date of change); when the same file is dropped again, the daemon says how far it got, and the rest is
 * sent.
 */

import { useEffect, useRef, useState } from 'preact/hooks'
import { defaultOptions, type PreviousUpload, Upload } from 'tus-js-client'
import { formatBytes } from '../../util/sizes.ts'
import { api } from './api.ts'
import { ProgressBar } from './progress-bar.tsx'

/** One file on its way, or left half way by an earlier page. */
interface FileUpload {
  /** Where the daemon takes it; the file's name until that is known. */
  key: string
  name: string
  size: number
  sent: number
  state: 'sending' | 'waiting' | 'failed'
  problem: string
  running: Upload | undefined
  /** Where this browser remembers it. */
  stored: string | undefined
}

const ENDPOINT = '/uploads'
const RETRY_DELAYS_MS = [500, 1000, 2000, 5000, 10_000, 20_000]
const storage = defaultOptions.urlStorage

/** Uploads of this browser, and what can be done with them. */
export function useUploads(enabled: boolean, onError: (err: unknown) => void) {
  const [uploads, setUploads] = useState<readonly FileUpload[]>([])
  const running = useRef(new Map<string, Upload>())

  const change = (key: string, changes: Partial<FileUpload>): void =>
    setUploads(now => now.map(each => (each.key === key ? { ...each, ...changes } : each)))
  const drop = (key: string): void => setUploads(now => now.filter(each => each.key !== key))

  const loadUnfinished = async (): Promise<void> => {
    const [previous, { uploads: known }] = await Promise.all([storage?.findAllUploads() ?? [], api.uploads()])
    const unfinished: FileUpload[] = []
    for (const each of previous) {
      const there = known.find(({ id, state }) => state === 'open' && id === each.uploadUrl?.split('/').at(-1))
      if (there === undefined) await storage?.removeUpload(each.urlStorageKey)
      else unfinished.push(leftBehind(each, there.received))
    }
    setUploads(now => [...now, ...unfinished.filter(({ key }) => !now.some(each => each.key === key))])
  }
  useEffect(() => {
    if (enabled) loadUnfinished().catch(onError)
  }, [enabled])

  const send = async (file: File): Promise<void> => {
    const upload = new Upload(file, {
      endpoint: ENDPOINT,
      metadata: { filename: file.name },
      retryDelays: RETRY_DELAYS_MS,
      removeFingerprintOnSuccess: true,
      onProgress: sent => change(key, { sent }),
      onSuccess: () => {
        running.current.delete(key)
        drop(key)
      },
      onError: err => {
        running.current.delete(key)
        change(key, { state: 'failed', problem: err.message, running: undefined })
      }
    })
    const [earlier] = await upload.findPreviousUploads()
    const key = earlier?.uploadUrl ?? `${file.name} ${file.size} ${file.lastModified}`
    if (running.current.has(key)) return
    running.current.set(key, upload)
    if (earlier !== undefined) upload.resumeFromPreviousUpload(earlier)
    const row: FileUpload = {
      key,
      name: file.name,
      size: file.size,
      sent: 0,
      state: 'sending',
      problem: '',
      running: upload,
      stored: earlier?.urlStorageKey
    }
    setUploads(now => [row, ...now.filter(each => each.key !== key)])
    upload.start()
  }

  const discard = async ({ key, running: upload, stored }: FileUpload): Promise<void> => {
    running.current.delete(key)
    await upload?.abort(false)
    const url = upload?.url ?? (stored === undefined ? null : key)
    if (url !== null) await Upload.terminate(url, {}).catch(onError)
    if (stored !== undefined) await storage?.removeUpload(stored)
    drop(key)
  }

  return { uploads, send: (file: File) => void send(file).catch(onError), discard: (each: FileUpload) => void discard(each) }
}

function leftBehind({ uploadUrl, urlStorageKey, metadata, size }: PreviousUpload, received: number): FileUpload {
  return {
    key: uploadUrl ?? urlStorageKey,
    name: metadata.filename ?? 'a file',
    size: size ?? 0,
    sent: received,
    state: 'waiting',
    problem: '',
    running: undefined,
    stored: urlStorageKey
  }
}

export function UploadList({ uploads, onDiscard }: { uploads: readonly FileUpload[]; onDiscard: (upload: FileUpload) => void }) {
  if (uploads.length === 0) return null
  return (
    <section aria-label="Uploads">
      <ul class="tasks">
        {uploads.map(upload => {
          const { key, name, size, sent, state, problem } = upload
          const percent = size === 0 ? 100 : Math.floor((1000 * sent) / size) / 10
          return (
            <li key={key} class="task upload">
              <div class="head">
                <span class="name text">{name}</span>
                <button type="button" onClick={() => onDiscard(upload)} aria-label={`Discard the upload of ${name}`}>
                  Discard
                </button>
              </div>
              <ProgressBar label={`Upload of ${name}`} percent={percent} />
              <div class="facts">
                <span>
                  {formatBytes(sent)} of {formatBytes(size)} uploaded
                </span>
              </div>
              {state === 'waiting' && <p class="waiting">Drop the same file here again: it goes on from there.</p>}
              {state === 'failed' && (
                <p class="error" role="alert">
                  {problem}. Drop the same file here again to go on.
                </p>
              )}
            </li>
          )
        })}
      </ul>
    </section>
  )
}
