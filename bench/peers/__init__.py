"""The paths that are compared: one file each, all with the face of peer.Peer."""

from peers.direct import Direct
from peers.envoy import EnvoyHbone, EnvoyTcp
from peers.haproxy import HaproxyTcp
from peers.weir import Weir

ALL = {kind.name: kind for kind in (Direct, EnvoyTcp, EnvoyHbone, HaproxyTcp, Weir)}
