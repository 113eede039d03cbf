/** The scenarios by name, with what each shows; scenarios/ builds them. */

export const SCENARIOS = {
  'flash-crowd': 'everybody joins at once',
  staggered: 'arrivals spread over twice the bound',
  newcomer: 'one leecher joins when everybody else is done',
  'unequal-uplinks': 'half of the uplinks carry a tenth of the other half',
  'symmetric-caps': 'each downlink carries no more than its uplink',
  'seeder-leaves': 'the seeder goes once the leechers hold one copy, after 1.2 copies at the latest',
  churn: '10 % of the nodes are replaced every minute',
  corrupters: '5 % of the peers send wrong bytes',
  'free-riders': '20 % never upload',
  silent: '10 % offer pieces and never send them',
  'slow-peers': '1 % are a hundred times slower',
  partition: 'the network falls in two for a while and heals',
  origin: 'nobody has anything, all know one origin',
  'two-files': 'two contents at once over the same links',
  playback: 'staggered arrivals, and one leecher plays the content at 0.8 of its downlink',
  mixed: 'machines of any rates, joining together or apart, that share one to eight contents',
  racks: 'racks of 20, each with the link of two machines to the others'
} as const

export type ScenarioName = keyof typeof SCENARIOS
export const SCENARIO_NAMES = Object.keys(SCENARIOS) as ScenarioName[]
