/**
 * After the task store was damaged: what is still on disk becomes a task again.
 *
 * A finished download left a receipt in the state folder that says where it is and what its root is; hashed
 * again, it shows whether it is that still. Its task comes back without priority, limits and peers. Called
 * once, after the contents that are known were opened.
 */

import type { Manifest } from '../../content/manifest.ts'
import { createManifest } from '../../node/manifests.ts'
import type { SwarmNode } from '../../node/types.ts'

export interface AdoptionInit {
  node: Pick<SwarmNode, 'downloads'>
  stateDir: string
  isKnown: (root: string) => boolean
  /** Makes it a task whose content is ours. */
  adopt: (manifest: Manifest, path: string) => Promise<unknown>
  log: { info: (facts: object, message: string) => void; warn: (facts: object, message: string) => void }
}

/** What came back and what did not, in words; undefined when there was nothing. */
export async function adoptDownloads({ node, stateDir, isKnown, adopt, log }: AdoptionInit): Promise<string | undefined> {
  const lost: string[] = []
  let adopted = 0
  for await (const { root, name, pieceLength, output, only } of node.downloads()) {
    if (isKnown(root)) continue
    try {
      if (only !== undefined) throw new Error('only some of its files were downloaded, and their list is lost')
      const manifest = await createManifest(output, { stateDir, name, pieceLength })
      if (manifest.root !== root) throw new Error('it is not what was downloaded any more')
      await adopt(manifest, output)
      adopted++
      log.info({ root, path: output }, 'adopted again')
    } catch (err) {
      lost.push(output)
      log.warn({ root, path: output, err }, 'a download that was lost from the task store cannot be adopted')
    }
  }
  if (adopted + lost.length === 0) return undefined
  const names = lost.length === 0 ? '' : `; not adopted: ${lost.slice(0, 10).join(', ')}${lost.length > 10 ? ' …' : ''}`
  return `${adopted} download(s) found on disk became tasks again${names}`
}
