"""One libtorrent peer of the baseline: libtorrent_peer.py <torrent> <folder> <start signal or ''>.

Prints {"event":"waiting"} when loaded, {"event":"complete"} when it has the file, and serves until it is ended.
Tuned in its own favour: TCP alone and in the clear, buffers of 3 MB, 1,000 requests in flight; peers from the tracker alone, which is asked often
(a swarm of one minute cannot wait for five).
"""

import os
import sys
import time

import libtorrent as lt

torrent, folder, start = sys.argv[1:4]
session = lt.session(
    {
        "listen_interfaces": "0.0.0.0:6881",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "min_announce_interval": 5,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "out_enc_policy": 2,
        "in_enc_policy": 2,
        "send_buffer_watermark": 3 * 1024 * 1024,
        "send_buffer_low_watermark": 1024 * 1024,
        "max_out_request_queue": 1000,
        "max_allowed_in_request_queue": 2000,
        "tick_interval": 100,
        "alert_mask": lt.alert.category_t.status_notification,
    }
)
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
if start == "":
    params.flags |= lt.torrent_flags.seed_mode
print('{"event":"waiting"}', flush=True)
while start != "" and not os.path.exists(start):
    time.sleep(0.02)
handle = session.add_torrent(params)
while not handle.status().is_seeding:
    time.sleep(0.05)
print('{"event":"complete"}', flush=True)
while True:
    time.sleep(1)
