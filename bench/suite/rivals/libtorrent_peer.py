"""One libtorrent peer: libtorrent_peer.py seed|get <torrent> <folder> <port> <port of a peer>...

Default settings but for discovery (peers are given), for several peers on one address, which this machine needs, and, in its
favour, for TCP alone (uTP took ten times as long on loopback) and a timer of 50 ms (it connects at the next tick, by default
after half a second).
Prints a line at each of: serving, first (piece), complete. A leecher ends when it is complete.
"""

import sys
import time

import libtorrent as lt

mode, torrent, folder, port = sys.argv[1:5]
session = lt.session(
    {
        "listen_interfaces": "127.0.0.1:" + port,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "tick_interval": 50,
        "allow_multiple_connections_per_ip": True,
        "alert_mask": lt.alert.category_t.status_notification,
    }
)
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
if mode == "seed":
    params.flags |= lt.torrent_flags.seed_mode
handle = session.add_torrent(params)
for peer in sys.argv[5:]:
    handle.connect_peer(("127.0.0.1", int(peer)))
if mode == "seed":
    while not handle.status().is_seeding:
        time.sleep(0.01)
    print("serving", flush=True)
    while True:
        time.sleep(1)
first = False
while True:
    status = handle.status()
    if not first and status.num_pieces > 0:
        first = True
        print("first", flush=True)
    if status.is_seeding:
        break
    time.sleep(0.01)
print("complete", flush=True)
