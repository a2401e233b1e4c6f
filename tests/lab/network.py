"""The network of a lab: namespaces, bridges, veths and routes, made with iproute2.

           fabric (a namespace with a bridge: the wire between nodes, fabric_cidrs)
          /        |          \\
   node ns      node ns     outsider ns         eth0 in each
   cni0 bridge  cni0 bridge                     .1 of the node's pod ranges
    /    \\        |
 pod ns  pod ns  pod ns                          eth0 in each, default route by the bridge

Nodes route (ip_forward) and know each other's pod ranges; nothing is translated, there is no conntrack and no
kube-proxy: what a pod sends is what arrives, and a ClusterIP leads nowhere unless Weir answers for it.
"""

import ipaddress
import subprocess
import zlib

from processes import NETNS_DIR, LabError, run

FABRIC_RANGES = ("192.168.77.0/24", "fd77::/64")
FIRST_NODE_HOST = 11
OUTSIDER_HOST = 200


def ip(netns, *lines):
    """Runs iproute2 commands as one batch in a namespace (None: the machine's own)."""
    where = ["-n", netns] if netns else []
    done = subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"ip {' '.join(where)}: {done.stderr.strip()}\n  of: " + "; ".join(lines))
    return done.stdout


def fabric_addresses(host):
    """The v4 and v6 address with this host number on the wire between nodes, with their prefix lengths."""
    nets = [ipaddress.ip_network(r) for r in FABRIC_RANGES]
    return [f"{net.network_address + host}/{net.prefixlen}" for net in nets]


def bare(address):
    return address.split("/")[0]


def make_namespace(netns, sysctls=()):
    if (NETNS_DIR / netns).exists():
        raise LabError(f"the network namespace {netns} exists already")
    run(["ip", "netns", "add", netns])
    # Addresses are ours alone, so duplicate detection would only make them tentative for a second. And reno: a child
    # namespace inherits the machine's default, which may pace with timers (bbr), and cubic may not be permitted in it.
    settings = ["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
                "net.ipv4.tcp_congestion_control=reno", *sysctls]
    run(["nsenter", f"--net={NETNS_DIR / netns}", "sysctl", "-qw", *settings])
    ip(netns, "link set lo up")


def make_fabric(netns):
    make_namespace(netns)
    ip(netns, "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set br0 up")


def join_fabric(fabric, netns, port, addresses):
    """A veth from the namespace (eth0) to the fabric's bridge, with these addresses."""
    ip(fabric, f"link add {port} type veth peer name eth0 netns {netns}", f"link set {port} master br0 up")
    ip(netns, *[f"addr add {a} dev eth0" + (" nodad" if ":" in a else "") for a in addresses], "link set eth0 up")


def make_node(fabric, netns, port, addresses, pod_ranges):
    make_namespace(netns, ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
    join_fabric(fabric, netns, port, addresses)
    # An address of its own: else a bridge takes the lowest of its ports', and changes it as pods come and go, while pods
    # go on sending to the old one.
    mac = hardware_address(bare(gateway(pod_ranges[0])))
    ip(netns, f"link add cni0 address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
       *[f"addr add {gateway(r)} dev cni0" + (" nodad" if ":" in r else "") for r in pod_ranges], "link set cni0 up")


def route(netns, destinations, gateways):
    """Routes to each destination by the gateway of its family."""
    via = {6 if ":" in g else 4: bare(g) for g in gateways}
    ip(netns, *[f"route replace {d} via {via[6 if ':' in d else 4]}" for d in destinations])


def gateway(pod_range):
    """The bridge's address in a pod range, with prefix length: its first host."""
    net = ipaddress.ip_network(pod_range)
    return f"{net.network_address + 1}/{net.prefixlen}"


def hardware_address(address):
    """Made of the IP, as CNI plugins do: who gets a reused IP is reached at once, and not when its neighbours' ARP
    entries have expired."""
    return "0a:58:" + ":".join(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed[-4:])


def pod_port(netns):
    """The name of a pod's veth on the node's side: unique by the pod's namespace, within IFNAMSIZ."""
    return f"veth{zlib.crc32(netns.encode()):08x}"


def make_pod(node_netns, netns, addresses, pod_ranges):
    make_namespace(netns)
    port = pod_port(netns)
    ip(node_netns, f"link add {port} type veth peer name eth0 address {hardware_address(addresses[0])} netns {netns}",
       f"link set {port} master cni0 up")
    lines = []
    for address in addresses:
        net = next((n for n in map(ipaddress.ip_network, pod_ranges) if ipaddress.ip_address(address) in n), None)
        if net is None:
            raise LabError(f"{netns}: {address} is in none of its node's podCIDRs {pod_ranges}")
        lines.append(f"addr add {address}/{net.prefixlen} dev eth0" + (" nodad" if ":" in address else ""))
    lines.append("link set eth0 up")
    families = {":" in a for a in addresses}
    lines += [f"route add default via {bare(gateway(r))}" for r in pod_ranges if (":" in r) in families]
    ip(netns, *lines)


def remove_pod(node_netns, netns):
    """As a CNI does: the veth goes at once, even while somebody's sockets keep the namespace alive."""
    subprocess.run(["ip", "-n", node_netns, "link", "del", pod_port(netns)], capture_output=True)
    remove_namespace(netns)


def remove_namespace(netns):
    if (NETNS_DIR / netns).exists():
        run(["ip", "netns", "del", netns])


def namespaces(prefix):
    return sorted(p.name for p in NETNS_DIR.glob(f"{prefix}*")) if NETNS_DIR.exists() else []
