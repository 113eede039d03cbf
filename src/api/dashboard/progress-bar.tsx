/** How far something is, for eyes and for screen readers. */

export function ProgressBar({ label, percent }: { label: string; percent: number }) {
  return (
    <div class="progress" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent}>
      <div class="done" style={{ width: `${percent}%` }} />
    </div>
  )
}
