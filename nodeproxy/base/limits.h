#pragma once
// Every limit of the data path in one place. Each is on by default, has a reason when it is hit (base/reason.h), and
// is asserted against its neighbours below, so that a change that breaks a relation does not compile.
// Units stand last in the name. Thread: constants.
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace weir::limits {

using namespace std::chrono_literals;

// Source ports (capture.md "Towards the application"): never chosen by a kernel, so never met by a client's own.
inline constexpr uint16_t app_port_first = 16384;  // proxy → application, bound to the client's address
inline constexpr uint16_t app_port_last = 32767;
inline constexpr uint16_t lane_port_first = 61000;  // proxy → proxy
inline constexpr uint16_t lane_port_last = 65535;
inline constexpr uint16_t kernel_port_first = 32768;  // net.ipv4.ip_local_port_range default
inline constexpr uint16_t kernel_port_last = 60999;

// Time-outs.
inline constexpr auto connect_timeout = 5s;       // SYN to SYN-ACK, lanes and outside
inline constexpr auto app_connect_retry = 250ms;  // no SYN-ACK from an application's own kernel: another port
inline constexpr auto handshake_timeout = 10s;    // TLS, both sides
inline constexpr auto detect_timeout = 100ms;     // unknown plaintext client to an unknown port
inline constexpr auto first_flight_timeout = 10s;     // a mesh peer's ClientHello, begun but not ended
inline constexpr auto open_timeout = 10s;             // OPEN to OPENED or RST
inline constexpr auto half_closed_timeout = 1h;       // half-closed and silent
inline constexpr auto unknown_destination_hold = 1s;  // wait for news of an address before refusing
inline constexpr auto certificate_wait = 10s;         // a pod's connections wait for its certificate
inline constexpr auto lane_idle = 60s;                // a lane without sessions
inline constexpr auto ticket_life = 1h;  // a TLS session may be resumed, and not beyond its chain
inline constexpr auto lane_ping = 15s;   // silence on a lane with sessions before PING
inline constexpr int tcp_user_timeout_ms =
    20'000;  // a dead proxy at the other end of a lane (TCP_USER_TIMEOUT)
// A dead peer of a connection that is an application's own: probes, but no user time-out, which would end a live peer
// that has stopped reading for that long (tcp(7)).
inline constexpr int keepalive_idle_s = 60, keepalive_interval_s = 10, keepalive_probes = 3;
inline constexpr auto accept_pause = 100ms;  // after EMFILE or ENOMEM
// Descriptors that no connection gets: for the agent's link (a pod that comes is three and more), certificates,
// configuration, and whoever asks /healthz whether this process had better be killed. And before those, descriptors for
// what has been accepted and is yet to dial: else one after another would be accepted in order to be sent away.
inline constexpr int reserved_descriptors = 64;
inline constexpr int dialling_descriptors = 64;
inline constexpr auto drain_default = 30s;

// A worker's time (io/fair_queue.h). A quantum is several requests, and a third of a handshake; after a turn the kernel
// is asked for what has come meanwhile, which costs about a microsecond.
inline constexpr auto turn_quantum = 100us;
inline constexpr auto turn_max = 500us;

// Memory.
inline constexpr size_t receive_buffer_small_bytes = 4 * 1024;
inline constexpr auto buffers_cool = 2s;  // a receive buffer that was not needed for so long holds no memory
inline constexpr size_t early_data_bytes = 16 * 1024;  // kept until OPENED, so another endpoint can be tried
inline constexpr size_t session_window_initial_bytes = 64 * 1024;
inline constexpr size_t session_window_max_bytes = 1024 * 1024;
// Windows granted to one source address by one worker: the first windows of all sessions that it may have, and room for
// half as much to grow into (base/budget.h). Used only as far as applications do not read, so what one pod that does not
// read can make a worker hold.
inline constexpr size_t source_buffered_max_bytes = 512 * 1024 * 1024;
// Likewise to all peers of one destination pod: several sources at their limit, so that none of them is the end of it.
inline constexpr size_t pod_buffered_max_bytes = 4 * source_buffered_max_bytes;
inline constexpr size_t lane_control_queue_bytes = 64 * 1024;
inline constexpr size_t frame_payload_max_bytes = 16 * 1024 - 64;  // a frame fits a TLS record
// Whole frames: a read that ends in a crumb makes a record and a packet of its own (measured: a tenth of bulk's CPU).
inline constexpr size_t receive_buffer_large_bytes = 8 * frame_payload_max_bytes;
inline constexpr size_t lane_output_bytes = 128 * 1024;  // one flush of a lane
inline constexpr int lane_notsent_lowat_bytes = 128 * 1024;
inline constexpr size_t client_hello_max_bytes = 64 * 1024;
inline constexpr size_t config_message_max_bytes = 64 * 1024 * 1024;

// HTTP (http.md "Limits").
inline constexpr size_t http_head_max_bytes = 64 * 1024;  // decoded; also an answer's 1xx heads together
inline constexpr uint32_t http_fields_max = 100;
inline constexpr size_t http_url_max_bytes = 8 * 1024;
inline constexpr size_t http_chunk_extensions_max_bytes = 1024;  // of one chunk
inline constexpr size_t route_regex_max_bytes = 1024 * 1024;     // RE2's memory for one expression of a route
inline constexpr size_t http_buffered_max_bytes = 32 * 1024;     // per direction of an exchange
inline constexpr size_t http_retry_body_max_bytes = 64 * 1024;   // kept for a retry
inline constexpr size_t http_discard_max_bytes = 64 * 1024;      // of a body after a local answer
inline constexpr auto http_header_timeout = 10s;
inline constexpr auto http_linger = 1s;       // of silence after our FIN, until the peer's
inline constexpr auto http_linger_max = 30s;  // likewise, of talk
inline constexpr size_t http_linger_max_bytes = 256 * 1024;
inline constexpr auto http_pool_idle = 5min;
inline constexpr size_t http_method_max_bytes = 64;
// Of the size lines of a chunked body, beyond what its data excuses.
inline constexpr size_t http_chunk_overhead_max_bytes = 16 * 1024;
inline constexpr uint32_t h2_streams_max = 100;  // per connection
// HPACK makes a large head of a few bytes. The heads that a connection's streams hold may be as large, decoded, as one
// head may be, and so many times the bytes of all that its peer has ever sent in heads.
inline constexpr size_t h2_heads_free_bytes = http_head_max_bytes;
inline constexpr uint64_t h2_heads_gain = 64;
inline constexpr uint32_t h2_stream_window_initial_bytes = 64 * 1024 - 1;
inline constexpr uint32_t h2_stream_window_max_bytes = 1024 * 1024;
inline constexpr uint32_t h2_connection_window_bytes = 1024 * 1024;
inline constexpr uint32_t h2_continuations_max = 8;
inline constexpr auto h2_ping = 30s;  // silence on a connection with streams before PING
inline constexpr auto h2_ping_timeout = 20s;

// What is told of requests: cut off here in the access log.
inline constexpr size_t logged_method_max_bytes = 32;
inline constexpr size_t logged_host_max_bytes = 256;
inline constexpr size_t logged_path_max_bytes = 1024;
inline constexpr size_t tap_ring_bytes = 4 * 1024 * 1024;  // of lines, per worker, while somebody watches
inline constexpr auto tap_watch = 5s;                      // since the last look
inline constexpr size_t refusals_per_pod = 8;              // the last ones, per worker
inline constexpr size_t refusal_pods = 512;                // that they are kept of: more than a node runs

// Counts.
inline constexpr uint32_t sessions_per_lane = 100;
inline constexpr uint32_t lanes_per_destination =
    40;                                            // per source pod, destination and worker: 4,000 sessions
inline constexpr uint32_t verified_chains = 4096;  // of peers, remembered by a worker
inline constexpr uint32_t ticket_peers = 1024;     // that a worker keeps tickets for
inline constexpr uint32_t tickets_per_peer = 4;    // lanes that may be resumed at the same time
// Per source address and worker (net/shares.h). High enough that no honest workload meets them, so low that nobody who
// floods takes what others need:
// descriptors, both of a connection that goes on as one (in plaintext, or on its node): 20,000 connections at least, and
// two workers have more than the 28,232 that a kernel has source ports for towards one address and port; where there are
// few descriptors one source gets no more than half of them (app_start.cc);
inline constexpr uint32_t connections_per_source = 40'000;
// two workers of a dialler at lanes_per_destination, all of whose lanes chance has given to one worker here;
inline constexpr uint32_t sessions_per_source = 8'000;
// a handshake is half a millisecond: half of a worker's time. A source that needs as many is one that is restarted with
// 100,000 sessions (100 to a lane), or one that opens 1,000 connections a second with a lane for each.
inline constexpr uint32_t handshakes_per_source = 1'000;
inline constexpr uint32_t connections_per_pod = 80'000;  // per worker, of all sources, in and out
inline constexpr uint32_t requests_per_pod = 20'000;     // in flight, per worker
inline constexpr int connect_tries = 3;
inline constexpr int listen_backlog = 4096;

static_assert(app_port_last < kernel_port_first,
              "application-facing ports must lie below the kernel's range");
static_assert(lane_port_first > kernel_port_last, "lane ports must lie above the kernel's range");
static_assert(turn_quantum < turn_max, "a turn must have room for more than one account");
static_assert(frame_payload_max_bytes + 8 <= 16384, "a frame with its header must fit one TLS record");
static_assert(session_window_initial_bytes >= early_data_bytes, "early data must fit the first window");
static_assert(sessions_per_source * session_window_initial_bytes <= source_buffered_max_bytes,
              "the limit of sessions must come before that of their windows");
static_assert(lanes_per_destination * sessions_per_lane <= sessions_per_source);
static_assert(2 * source_buffered_max_bytes <= pod_buffered_max_bytes &&
                  2 * connections_per_source <= connections_per_pod,
              "one source must not use up what a destination has for all");
static_assert(app_connect_retry < connect_timeout);
static_assert(http_method_max_bytes + http_url_max_bytes < http_head_max_bytes, "414 must come before 431");
static_assert(http_chunk_extensions_max_bytes < http_chunk_overhead_max_bytes);

}  // namespace weir::limits
