/**
 * The shape of an entry in the table of options.
 */

/** Commands that take options. */
export type Taker =
  | 'seed'
  | 'get'
  | 'create'
  | 'push'
  | 'info'
  | 'verify'
  | 'daemon'
  | 'status'
  | 'scan'
  | 'task'
  | 'task remove'
  | 'token create'
  | 'token'
  | 'dashboard'
  | 'url'
  | 'simulate'

export type OptionKind =
  | 'switch'
  | 'text'
  | 'choice'
  | 'count'
  | 'share'
  | 'size'
  | 'rate'
  | 'duration'
  | 'pieceLength'
  | 'address'
  | 'peerAddress'
  | 'url'
  | 'label'
  | 'mode'
  | 'rule'

export interface OptionSpec {
  /** On the command line behind `--`; in the file as it is. */
  readonly name: string
  /** One letter. */
  readonly short?: string
  readonly kind: OptionKind
  /** What `--help` calls the value. */
  readonly value?: string
  /** Least and largest value, as a user writes it. */
  readonly min?: string
  readonly max?: string
  readonly choices?: readonly string[]
  /** Holds where nothing is given. */
  readonly default?: string
  /** What documents and `--help` say of the default where it is no fixed value, or depends on the machine. */
  readonly defaultText?: string
  readonly text: string
  /** Where a command means it a little differently. */
  readonly texts?: Readonly<Partial<Record<Taker, string>>>
  readonly takers: readonly Taker[]
  /** Heading of `--help`. */
  readonly group?: 'Network' | 'Daemon' | 'Output and state'
  /**
   * May be given more than once. One text is taken apart at commas and white space everywhere ('words'), in
   * the environment alone ('folders', whose names may hold either on the command line), or never ('whole').
   */
  readonly repeats?: 'words' | 'folders' | 'whole'
  /** The field of `NodeOptions` that it sets; for a switch `no-x` it is set to false. */
  readonly field?: string
  /** Has no meaning for a node that runs already: given to a command, it means a node of its own. */
  readonly shapesNode?: true
  /** Never as text on the command line, which every user of the machine sees. */
  readonly isSecret?: true
  readonly isMandatory?: true
  readonly noEnvironment?: true
  /** An option of the daemon that its configuration file cannot hold. */
  readonly outsideFile?: true
}
