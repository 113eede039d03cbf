/**
 * Other limits by the hour, as text: `'22:00-06:00 [days=1/2] download-limit=50MB max-downloads=10'`.
 */

interface RuleFields {
  from: string
  to: string
  days?: number[]
  maxActiveDownloads?: number
  maxUploads?: number
  downloadBytesPerSecond?: number
  uploadBytesPerSecond?: number
}

const SPAN = /^((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)$/

/** Options that may stand in a rule, and the fields that they set. */
const FIELDS = {
  'download-limit': 'downloadBytesPerSecond',
  'upload-limit': 'uploadBytesPerSecond',
  'max-downloads': 'maxActiveDownloads',
  'max-uploads': 'maxUploads'
} as const

function parseDays(text: string): number[] | undefined {
  const days = text.split(/[;/+]/)
  return days.every(day => /^[0-6]$/.test(day)) ? days.map(Number) : undefined
}

/** Undefined when it is not a rule. `parse` knows what each option allows. */
export function parseRule(text: string, parse: (option: string, text: string) => unknown): RuleFields | undefined {
  const [hours = '', ...settings] = text.trim().split(/\s+/)
  const span = SPAN.exec(hours)
  if (span === null || settings.length === 0) return undefined
  const fields: Record<string, unknown> = {}
  for (const setting of settings) {
    const [name = '', value = ''] = setting.split('=')
    const isField = Object.hasOwn(FIELDS, name)
    const parsed = name === 'days' ? parseDays(value) : isField ? parse(name, value) : undefined
    if (parsed === undefined) return undefined
    fields[isField ? FIELDS[name as keyof typeof FIELDS] : name] = parsed
  }
  return { from: span[1] as string, to: span[2] as string, ...fields }
}
