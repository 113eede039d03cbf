/** The roles that a simulated peer may play, by name; the other files of this folder play them. */

export const ROLES = {
  slow: 'honest, on links many times slower',
  limited: 'honest, and its own download limit is many times lower than its links',
  'slow-disk': 'honest, on a disk that takes pieces many times slower than its links',
  only: 'honest, wants one piece only and then seeds that',
  stopped: 'honest, and stands still for twenty seconds',
  corrupter: 'sends wrong bytes',
  'free-rider': 'takes and never offers nor sends',
  silent: 'offers and accepts offers, and never sends a piece',
  mute: 'sends a bitfield and nothing more',
  'takes-three': 'takes three offers of each neighbour and never says `have`',
  'never-says-have': 'takes all offers and never says `have`',
  'says-full': 'claims everything and answers `full` to everything',
  greedy: 'asks everybody for everything as urgent, acknowledges it, and asks again',
  claimer: 'claims everything, offers it, and never sends',
  dribbler: 'has everything, offers it, and sends one piece in ten seconds to each neighbour',
  'takes-all': 'says `taking` of everything, and never has it',
  'keeper-inventor': 'tells of keepers that do not exist',
  sybil: 'takes offers without a `have`, and comes back under a new name when it is dropped or gets no more'
} as const

export type RoleName = keyof typeof ROLES
export const ROLE_NAMES = Object.keys(ROLES) as RoleName[]
