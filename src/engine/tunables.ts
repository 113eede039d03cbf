/**
 * Every constant of the engine's rules: its value and unit, and what gets worse when it is raised (+) or lowered (-).
 *
 * Times are in ms, sizes in pieces unless the name says otherwise. What a user may set is in options.ts.
 */

/** All of the engine. */
export const ENGINE = {
  /** Between two rounds of housekeeping. + late requests are noticed later; - CPU. */
  HOUSEKEEPING_MS: 200,
  /** Between two looks at what neighbours expect. + a piece that never came is offered again later; - a look costs all pieces. */
  FORGET_MS: 10_000,
  /** Requests in a row that a neighbour may let time out. + a dead one stays longer; - a stalled host loses its links. */
  MAX_TIMEOUTS: 4,
  /** Pieces lost before all streams are begun again. Fewer than MAX_STRIKES. + peers may take us for greedy; - a bad sector costs handshakes. */
  LOST_UNTOLD: 8,
  /** False claims of pieces, and requests for pieces that were acknowledged, before a ban. + a liar costs more requests; - an honest loss bans. */
  MAX_STRIKES: 16,
  /** Ban for a fault of protocol. + a mended peer stays out; - a broken one comes back. */
  PROTOCOL_BAN_MS: 600_000,
  /** Members told to a new neighbour: near ones, and all. + longer messages; - a newcomer finds its neighbours later. */
  MAX_NEAR_TOLD: 40,
  MAX_PEERS_TOLD: 16,
  /** Peers without room here that the next one hears of. + longer messages; - a crowd of newcomers knits more thinly. */
  MAX_TURNED_AWAY_TOLD: 12,
  /** As many are remembered, to tell of some at random. + more of them have gone; - a large crowd becomes a chain. */
  MAX_TURNED_AWAY: 512,
  /** They are not heard again before this. Less than the first retry of a dial. + an honest one waits; - one that redials at once costs lists. */
  TURNED_AWAY_MS: 1000,
  /** What is left of `recentBytes` after a second. + old merit counts; - a pause costs a good peer its place. */
  RECENT_SHARE: 0.93,
  /** The slowest link that we plan for while we know none: 64 bytes per ms (0.5 Mbit/s). + slow fleets give up pieces half sent. */
  SLOWEST_BYTES_PER_MS: 64,
  /** Most that we plan for the first piece. + a silent first sender costs more; - as above. */
  MAX_FIRST_PIECE_MS: 5000
} as const

/** One choice of a piece. */
export const CHOICE = {
  /** Pieces looked at. + a choice costs more in a large content; - late in a swarm the one lacked piece is not found. */
  MAX_LOOKS: 512,
  /** Wishes of one neighbour looked at. + CPU; - an unasked request for a rare piece waits. */
  MAX_WISHES: 32,
  /** A neighbour with fewer pieces goes first. + early ones wait for late ones; - a newcomer's uplink idles. */
  STARTING_PIECES: 8,
  /** Steps of age, from the first neighbour's joining to now, by which early ones go first. + late ones wait; - early ones do. */
  AGE_STEPS: 4
} as const

/** The uplink's model (upload/uplink-model.ts). */
export const UPLINK = {
  /** The rate is the best of this window. + a slower uplink is noticed later; - an idle moment lowers the rate. */
  RATE_WINDOW_MS: 4000,
  /** Half a window lasts for so many acknowledgements, or this long at most: a slow link has one in several seconds. */
  RATE_WINDOW_ACKS: 4,
  MAX_RATE_WINDOW_MS: 120_000,
  /** In flight before anything is known. + the first pieces share a slow uplink; - a fast one idles for a round trip. */
  FIRST_WINDOW: 2,
  /** Offers and requests behind them then. + choices go stale; - the first neighbours asked may be busy with their start. */
  FIRST_READY: 4,
  /** Bound on the window. + memory; - very long fat links stay empty. */
  MAX_WINDOW: 1024,
  /** In flight beyond what fills the pipe. + choices go stale; - the uplink runs dry and the estimate cannot grow. */
  SPARE_PIECES: 2,
  /** What a receiver takes to hash, write and batch its `have`. */
  RECEIVER_MS: 10,
  /** Shortest time that a window covers: event loops and disks of both ends work on different pieces. - loopback stands idle. */
  MIN_PIPE_MS: 40,
  /** From this long on pieces follow each other instead of sharing the uplink. + slow fleets double later; - event loops weigh more. */
  SLOW_PIECE_MS: 300,
  /** The same factor while the uplink is being learnt, when estimates still rise. */
  STARTING_RATIO: 3,
  /** How long before the one under way has left the next begins: share of a piece, of an answer, at least. + overlap; - idle gaps. */
  OVERLAP_OF_PIECE: 0.125,
  OVERLAP_OF_ANSWER: 1.25,
  MIN_OVERLAP_MS: 80,
  UNKNOWN_RTT_MS: 20,
  /** While the uplink is unknown one piece goes at a time, for at most this long or the time of the slowest link. + a slow receiver holds
   * all up; - a fleet's first doublings share their uplinks. */
  FIRST_ALONE_MS: 2000,
  /** While it is unknown a flight counts for this long at least. + a receiver that hung costs more; - slow uplinks hold many pieces. */
  FIRST_HOLD_UP_MS: 5000
} as const

/** What one neighbour drains (upload/drain.ts). */
export const DRAIN = {
  /** Flights to a neighbour that acknowledged none. + a silent one swallows more; - a lone receiver starts slower. */
  TRIAL_PIECES: 1,
  /** Acknowledgements over which its rate sinks. + a slowed neighbour keeps a wide window; - one late piece narrows it. */
  SAMPLES: 8,
  /** In time: within so many times what the pieces in flight take, and this much. + slow ones pass for fast; - fast ones for slow. */
  IN_TIME_FACTOR: 1.5,
  IN_TIME_MS: 50
} as const

/** Serving (upload/sender.ts, upload/uploader.ts). */
export const UPLOAD = {
  /** A request without an offer is served after this long, or a round of all neighbours. + simple clients wait; - they crowd out offers. */
  PATIENCE_MS: 200,
  /** The same before a piece's time is known. */
  FIRST_PATIENCE_MS: 3000,
  /** A sent piece is forgotten after so long without a word. + its neighbour is not offered it; - slow disks are sent it twice. */
  FLIGHT_TIMEOUT_MS: 60_000,
  /** Urgent pieces in flight beyond the window. + readers crowd the uplink; - they wait behind a full one. */
  URGENT_FLIGHTS: 4,
  /** An uplink that delivers more than this share of our own limit is held back by the limit. */
  LIMIT_SHARE: 0.8,
  /** Later flights to others that may arrive first. + a slow receiver holds the window longer; - reordering passes for slowness. */
  MAX_OVERTAKEN: 2,
  /** ...if the flight took this long, beside two round trips. + as above; - a busy event loop passes for slowness. */
  OVERTAKEN_MS: 20,
  /** While the uplink is unknown: a piece that the transport took counts for so many round trips, and this long. */
  FIRST_ACK_RTTS: 4,
  FIRST_ACK_MS: 100,
  /** Between two looks at who contributes, in an open swarm. */
  REVIEW_MS: 1000
} as const

/** Offering (upload/offerer.ts). */
export const OFFER = {
  /** An unanswered offer is forgotten after this long. + its piece is offered to nobody else there; - slow answers come in vain. */
  TIMEOUT_MS: 4000,
  /** Offers in a row that may run out before a neighbour gets no more: it only requests. */
  MAX_IGNORED: 8,
  /** An offer no longer keeps the uplink from others after so many times what answers take, and at least this long. + silent ones cost
   * more; - a busy moment makes too many offers. */
  PATIENCE_ANSWERS: 4,
  MIN_PATIENCE_MS: 100,
  /** The same before the first answer, with four round trips. */
  FIRST_PATIENCE_MS: 100,
  /** Late choice: so many answers ahead of its turn, or that share of a piece. + choices go stale; - the uplink idles. */
  LEAD_ANSWERS: 4,
  LEAD_OF_PIECE: 0.1,
  /** ...where an answer takes less than this share of a piece. */
  SHORT_ANSWER: 0.35,
  /** Shorter pieces are chosen early: event loops take as long. */
  MIN_LATE_PIECE_MS: 50,
  /** ...and so they are below SLOW_PIECE_MS where more answers than this share say `full`. + symmetric links idle; - stale choices. */
  MAX_FULL_SHARE: 0.4,
  /** Answers over which that share is taken. */
  SHARE_ANSWERS: 32,
  /** Refusals in a row after which more than one late choice stands out. */
  MAX_REFUSED_ALONE: 1,
  /** Pieces that an offer and its answer may have to wait for. + ready ones pile up; - slow answers let the uplink idle. */
  MAX_PIECES_BEFORE_ANSWER: 3,
  /** A neighbour within its share that took something in so long, or in the time of so many pieces, is waited for before those beyond
   * theirs get more. + the uplink idles; - free riders get more. */
  SPARING_MS: 100,
  SPARING_PIECES: 8,
  /** Wait after `full`, doubling up to. + a leecher with room waits; - offers in vain. */
  FIRST_FULL_BACKOFF_MS: 50,
  MAX_FULL_BACKOFF_MS: 100
} as const

/** Shares of the uplink (upload/share.ts). */
export const SHARE = {
  /** How far ahead of its share a neighbour may be. + a greedy one gets more at once; - fewer choices for the rarest piece. */
  SLACK_PIECES: 3,
  /** Weight of a neighbour that passes nothing on. + free riders get more; - a misjudged honest one starves. */
  LIGHT_WEIGHT: 0.05,
  /** Part of what we send that urgent requests may take before all else, over so many pieces. + a greedy one halves the others' part;
   * - readers stall. */
  URGENT: 0.4,
  URGENT_PIECES: 16
} as const

/** Evidence of merit (merit/evidence.ts). */
export const MERIT = {
  /** First copies given on trust. + corrupters swallow more; - honest ones count as light (two at most are usual). */
  TRUSTED_FIRST_COPIES: { contributors: 1, cooperative: 3 },
  /** Newcomers over which the share of lost ones is taken, and above which share all newcomers get that of one neighbour. + new names swallow
   * more; - a few lost ones make all wait. */
  NEWCOMERS: 4,
  MAX_LOST_NEWCOMERS: 0.5,
  /** Peers remembered after they left; first copies remembered. */
  MAX_REMEMBERED: 1024,
  MAX_FIRST_COPIES: 65_536,
  /** Open swarm: a leecher that has what we lack and offers nothing for so long, or so many of our pieces, is light. */
  CONTRIBUTION_MS: 5000,
  CONTRIBUTION_PIECES: 60
} as const

/** Waiting for pieces (download/patience.ts). */
export const PATIENCE = {
  /** A request to a neighbour that never delivered counts for this long, and so many round trips. + claims hold more up; - a slow start
   * is asked elsewhere. */
  TRIAL_MS: 100,
  TRIAL_RTTS: 4,
  /** A piece is late after so many times its sender's usual time, and at least this long. + stalls last longer; - pieces come twice. */
  LATE_FACTOR: 3,
  MIN_LATE_MS: 2000,
  /** The same before the sender delivered anything. */
  FIRST_LATE_MS: 5000,
  FIRST_LATE_FACTOR: 4,
  /** The same when everything missing is on its way, in terms of what pieces take. */
  ENDGAME_LATE_FACTOR: 2,
  MIN_ENDGAME_LATE_MS: 1000,
  /** Nothing is late within so many times what our downlink needs for all that is pending, nor given up within twice that. + stalls last
   * longer; - a narrow downlink fills with second copies. */
  DRAIN_FACTOR: 1.5,
  /** A request is given up after so many times the usual, and at least this long. */
  TIMEOUT_FACTOR: 6,
  MIN_TIMEOUT_MS: 3000,
  /** No unasked request for this long after `full`, `choked`, a time-out. + idle holders; - requests in vain. */
  FULL_MS: 500,
  CHOKED_MS: 5000,
  TIMED_OUT_MS: 2000,
  /** Nothing came for so many times what a piece takes: starved. + idle; - the seeder is asked for the same by all. */
  STARVED_FACTOR: 4,
  /** How many pieces' time a doubling of the first copies may take: an uplink is shared by some. */
  FIRST_PIECES_PER_DOUBLING: 3,
  /** A piece that comes from the origin may be taken from a peer after this long. */
  ORIGIN_LATE_MS: 5000
} as const

/** How much to ask for (download/demand.ts). */
export const DEMAND = {
  /** Allowed however long pieces are. + memory; - unequal uplinks with pieces of 16 MiB took 2.8 times the bound with two. */
  MIN_PENDING_PIECES: 8,
  /** A sender that takes so many times the usual counts for what it brings. */
  SLOW_SENDER_FACTOR: 3,
  /** Requests that an unproven neighbour may hold; what each delivered piece adds; the most. + claims pin more; - fast senders wait. */
  TRIAL_CREDIT: 2,
  CREDIT_PER_PIECE: 4,
  MAX_CREDIT: 1024,
  /** Offers held back for the sender's credit, for a limit, and for how long. + uploaders wait for answers; - they back off. */
  MAX_HELD: 64,
  MAX_HELD_BY_LIMIT: 2,
  HELD_MS: 2000
} as const

/** Asking without an offer (download/pull.ts). */
export const PULL = {
  /** Late pieces asked of a second neighbour at once. + pieces come twice; - the last ones wait. */
  MAX_SECONDS: 4,
  /** Requests at a peer that only answers requests, at most; at every peer where nobody offers at all (for comparison). */
  MAX_DEPTH: 256,
  ONLY_DEPTH: 4,
  /** Pieces asked for when starved. */
  STARVED_PULLS: 2,
  /** A holder that was asked for a piece and has not sent it is asked again after this long. + a lost request holds up; - sent twice. */
  ASK_AGAIN_MS: 2000,
  /** What an unproven holder is taken to need for a piece, so that it is asked after all others. */
  UNPROVEN_MS: 1e9
} as const

/** Readers. */
export const READER = {
  MAX_READERS: 64,
  /** Of its window asked for ahead. + other traffic waits; - a fast reader stalls. */
  AHEAD_PIECES: 32,
  /** The same until its first piece is there. + they stand before the first; - the second comes late. */
  START_PIECES: 3,
  /** Urgent requests waiting at one peer. */
  DEPTH: 2
} as const

/** Claims of near peers (download/near.ts). */
export const NEAR = {
  /** A near neighbour's word that it fetches a piece counts for this long. */
  TAKEN_MS: 15_000,
  /** Offers from afar turned down for a near neighbour that delivered nothing. + a liar holds up more; - pieces cross more often. */
  TRIAL_CREDIT: 64,
  /** ...and for one whose last piece came within this long, or the time of a piece from each neighbour. + as above; - as above. */
  RECENT_MS: 3000,
  /** A piece left to a near neighbour is asked for after so many times the usual, and at least this long. + as above; - as above. */
  DEFER_FACTOR: 2,
  DEFER_MS: 100
} as const

/** The downlink's model (download/downlink-model.ts). */
export const DOWNLINK = {
  RATE_WINDOW_MS: 6000,
  SERVICE_WINDOW_MS: 20_000,
  /** Pieces beyond what the pipe holds: usually; where pieces are slow and answers quick; where a refusal is dear and the link wide. */
  READY_PIECES: 3,
  READY_PIECES_SLOW: 2,
  READY_PIECES_WIDE: 12,
  /** An answer that takes less than this share of a piece is quick, from that share on slow. */
  QUICK_ANSWER: 0.15,
  SLOW_ANSWER: 0.35,
  /** A burst at so many times the usual rate shows a wide link. */
  WIDE_RATIO: 2,
  /** Shortest time that the limit covers, as the uplink's. */
  MIN_PIPE_MS: 40,
  /** Arrivals over which the usual rate is taken, and that of a burst. */
  USUAL_ARRIVALS: 16,
  BURST_ARRIVALS: 4,
  BURST_WINDOW_MS: 60_000
} as const

/** Neighbours and dials (discovery/neighbours.ts). */
export const NEIGHBOURS = {
  /** Share of `maxNeighbours` that we fill by dialling. + newcomers find all full; - the graph is sparse. */
  DIAL_SHARE: 0.7,
  /** Pieces that should come on each neighbour, and the fewest dialled all the same. + few sources; - handshakes. */
  PIECES_PER_NEIGHBOUR: 8,
  FEWEST_DIALLED: 12,
  MAX_DIALS: 8,
  /** With so many neighbours the others are dialled one by one, each after so many times what dials take. */
  ENOUGH_TO_BEGIN: 8,
  FIRST_DIALS: 3,
  SLOW_DIAL_MS: 200,
  DIAL_REST: 2,
  /** Another dial may go beside one that takes longer. */
  LONG_DIAL_MS: 3000,
  DIAL_TIMEOUT_MS: 30_000,
  FIRST_RETRY_MS: 2000,
  MAX_RETRY_MS: 300_000,
  /** Failed dials in a row after which a candidate is forgotten, unless the user gave it. */
  MAX_FAILURES: 6,
  /** Stranded: no neighbour has anything that we lack for this long, or the time of so many first pieces. + an island waits; - crowds at their
   * start search and dial in vain. */
  STRANDED_MS: 10_000,
  STRANDED_PIECES: 4,
  /** No search while so many could replace a lost neighbour. */
  ENOUGH_SPARE: 4,
  MAX_BANS: 4096,
  /** How long slots are kept for near peers before any is known. */
  NEAR_PATIENCE_MS: 10_000,
  /** Full, one newcomer is taken in after this long, or the time of so many pieces. + late ones find only late ones; - handshakes. */
  REPLACE_MS: 10_000,
  REPLACE_PIECES: 10
} as const

/** What the swarm takes from the content's origin (origin/). */
export const ORIGIN = {
  /** A block is fetched by one keeper, in one request if possible; small contents are cut finer, so that every keeper has some. */
  BLOCK_BYTES: 4 * 1024 * 1024,
  BLOCKS_PER_KEEPER: 8,
  /** With neighbours and too few keepers for this long we offer ourselves. + a slow start; - more keepers than needed. */
  PROPOSE_MS: 300,
  /** Keeper for this long without a better one: the list has gone round, we fetch. + a slow start; - two fetch the same. */
  STABLE_MS: 700,
  /** Both wait longer on a busy machine: so many times how late housekeeping came, up to a bound; what stays of it each time. */
  LATENESS_FACTOR: 8,
  MAX_LENIENCE_MS: 3000,
  LENIENCE_SHARE: 0.9,
  /** Alone after a search: what we take grows from this share to all in this time; how often we look. + overlap; - a slow start. */
  FIRST_SHARE: 1 / 64,
  SURELY_ALONE_MS: 1000,
  GROW_MS: 20,
  /** Without any neighbour for this long we are alone; with peers that never answered, for this long. */
  ALONE_MS: 250,
  DESERTED_MS: 5000,
  /** Between two messages about keepers to one neighbour. */
  TELL_MS: 100,
  /** Worth of the origin's rate asked for ahead, and the first time. */
  WINDOW_MS: 3000,
  FIRST_WINDOW_BYTES: 4 * 1024 * 1024,
  /** Another keeper's word that it takes a piece counts for this long. + a dead keeper's pieces wait; - fetched twice. */
  TAKEN_MS: 30_000,
  /** Two keepers took the same piece within this time of each other: the better rank keeps it. */
  CLASH_MS: 1000,
  /** Idle this long, we take blocks over from keepers that are our neighbours; from others after the second time. */
  STEAL_MS: 1000,
  STEAL_UNSEEN_MS: 6000,
  /** Nothing from peers for this long for each neighbour, at most so long: we ask the origin by ourselves. + claims cost more; - an honest
   * slow swarm asks its origin more. */
  SELF_MS_PER_NEIGHBOUR: 400,
  MAX_SELF_MS: 6000,
  MAX_SELF_PIECES: 64,
  /** `have` messages that count as news from a neighbour that delivered nothing. */
  TRIAL_NEWS: 3,
  /** Peers have had this long to show how fast they are. */
  JUDGE_PEERS_MS: 3000,
  /** Peers count as slow below this share of the origin's rate. */
  SLOW_SHARE: 0.5,
  /** An origin that was never measured is tried when peers would take longer than this for all that is missing. */
  WORTH_TRYING_MS: 10_000,
  /** With other keepers about, a piece that more neighbours than this hold comes from them soon, however slow they seem. */
  FEW_HOLDERS: 2,
  /** A reader waits this long for a piece that nobody has. */
  READER_PATIENCE_MS: 1000,
  LOOK_AGAIN_MS: 1000
} as const
