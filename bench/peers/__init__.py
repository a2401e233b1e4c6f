"""The paths that are compared: one file each, all with the face of peer.Peer."""

from peers.direct import Direct
from peers.envoy import EnvoyHbone, EnvoyHttp, EnvoyTcp
from peers.haproxy import HaproxyHttp, HaproxyTcp
from peers.weir import OtherWeir, Weir, WeirOnEpoll, WeirOnOneNode, WeirWithoutLog, WeirWithTwoWorkers

ALL = {kind.name: kind
       for kind in (Direct, EnvoyTcp, EnvoyHbone, EnvoyHttp, HaproxyTcp, HaproxyHttp, Weir, OtherWeir, WeirWithoutLog,
                    WeirOnEpoll, WeirOnOneNode, WeirWithTwoWorkers)}
