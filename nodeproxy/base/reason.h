#pragma once
// The closed vocabulary of why something failed or ended. One list serves the code, the `reason` label of metrics,
// the `reason` field of the access log, and the sentence (with a hint) that an operator reads. Adding a reason means
// adding a row to the table below; nothing else may invent a reason string.
// Thread: constants only.
#include <cstdint>
#include <string_view>

namespace weir {

// X(enumerator, "label", "what happened; what to look at")
#define WEIR_REASONS(X)                                                                                      \
  X(none, "none", "ended in order")                                                                          \
  X(client_closed, "client_closed", "the client went away before the connection was through")                \
  X(client_reset, "client_reset", "the client reset the connection")                                         \
  X(server_reset, "server_reset", "the server reset the connection")                                         \
  X(peer_lost, "peer_lost",                                                                                  \
    "the connection between the two proxies ended without close_notify; look at the peer node")              \
  X(refused, "refused", "the application refused; is something listening on that port?")                     \
  X(unreachable, "unreachable", "no route or no answer to ARP/ND; is the endpoint's node up?")               \
  X(connect_timeout, "connect_timeout",                                                                      \
    "no answer to SYN in time; is a NetworkPolicy or firewall in between?")                                  \
  X(no_endpoint, "no_endpoint", "the service has no usable endpoint; see `kubectl get endpointslices`")      \
  X(unknown_port, "unknown_port", "the service has no such port")                                            \
  X(unknown_destination, "unknown_destination",                                                              \
    "an address inside the cluster's ranges that the mesh does not know; new pod, or unknownDestinations")   \
  X(unknown_pod, "unknown_pod",                                                                              \
    "the connection came through a listener of a pod that the snapshot does not have")                       \
  X(denied, "denied", "an AuthorizationPolicy denied it; the rule is named beside")                          \
  X(not_allowed, "not_allowed", "Allow policies are in force and none of them matched")                      \
  X(plaintext_refused, "plaintext_refused",                                                                  \
    "PeerAuthentication is Strict and the client did not come over mTLS")                                    \
  X(policy_changed, "policy_changed", "a live connection was judged again and is no longer allowed")         \
  X(inspection_required, "inspection_required",                                                              \
    "rules about requests have come to a connection that was not being read; the next one is")               \
  X(certificate_missing, "certificate_missing",                                                              \
    "the workload's certificate has not come; look at the agent's log")                                      \
  X(certificate_expired, "certificate_expired",                                                              \
    "a certificate is past notAfter or not yet valid; clocks, renewal")                                      \
  X(certificate_untrusted, "certificate_untrusted", "the peer's chain leads to no root of the trust bundle") \
  X(certificate_malformed, "certificate_malformed", "the peer's leaf breaks the SPIFFE X.509-SVID rules")    \
  X(trust_domain, "trust_domain", "the peer's identity is of another trust domain")                          \
  X(identity_mismatch, "identity_mismatch",                                                                  \
    "the peer is not the workload that was dialled; its address may have been reused")                       \
  X(client_certificate_required, "client_certificate_required", "a weir peer came without a certificate")    \
  X(handshake_failed, "handshake_failed", "the TLS handshake failed; the code is beside")                    \
  X(handshake_timeout, "handshake_timeout", "the TLS handshake did not end in time")                         \
  X(tls_error, "tls_error", "a TLS record could not be read; the connection was ended")                      \
  X(truncated, "truncated", "the stream ended without close_notify")                                         \
  X(protocol_error, "protocol_error", "the peer broke a rule of the mesh protocol")                          \
  X(detect_timeout, "detect_timeout", "the first bytes did not come in time")                                \
  X(overloaded, "overloaded",                                                                                \
    "a limit of connections, sessions, handshakes, requests or buffered bytes was reached")                  \
  X(draining, "draining", "the proxy is draining; the connection was sent elsewhere or ended")               \
  X(drain_limit, "drain_limit", "still open at the drain limit")                                             \
  X(half_closed_timeout, "half_closed_timeout", "half-closed and silent for too long")                       \
  X(not_reached, "not_reached",                                                                              \
    "the destination's proxy could not reach its application; its own log says why")                         \
  X(loop, "loop", "the listener itself was dialled")                                                         \
  X(bad_request, "bad_request", "the request broke a rule of HTTP; the detail names it")                     \
  X(bad_response, "bad_response", "the application's answer broke a rule of HTTP; the detail names it")      \
  X(head_too_large, "head_too_large", "the head of a request or response is above its limit")                \
  X(header_timeout, "header_timeout", "a request's head was begun and did not end in time")                  \
  X(route_not_found, "route_not_found", "routes are attached to the service and none matches the request")   \
  X(route_invalid, "route_invalid",                                                                          \
    "the matching rule has no usable backend or an invalid filter; see the route's status")                  \
  X(redirected, "redirected", "answered with a redirect, as the route says")                                 \
  X(request_timeout, "request_timeout", "the request, with its retries, took longer than its time-out")      \
  X(backend_timeout, "backend_timeout", "an endpoint did not answer within the time-out of one try")         \
  X(idle_timeout, "idle_timeout", "no byte moved within the idle time-out")                                  \
  X(circuit_open, "circuit_open",                                                                            \
    "the service's circuit breaker is at its limit of connections, pending or concurrent requests")          \
  X(stream_reset, "stream_reset", "the peer reset the HTTP/2 stream")                                        \
  X(stream_refused, "stream_refused", "the peer refused the HTTP/2 stream before it was processed")          \
  X(flood, "flood", "the peer sent too many frames that ask for work and carry nothing (ENHANCE_YOUR_CALM)") \
  X(upgrade_refused, "upgrade_refused", "an upgrade or CONNECT that no policy or route allows")              \
  X(pod_removed, "pod_removed", "the pod is gone")                                                           \
  X(ports_exhausted, "ports_exhausted", "no free source port towards that destination")                      \
  X(cancelled, "cancelled", "ended from inside: the task was cancelled")                                     \
  X(out_of_descriptors, "out_of_descriptors", "EMFILE or ENFILE; raise the limit of open files")             \
  X(out_of_memory, "out_of_memory", "ENOMEM or ENOBUFS")                                                     \
  X(bad_config, "bad_config", "the configuration was refused whole; the object is named beside")             \
  X(io, "io", "the kernel refused an operation; the errno is beside")                                        \
  X(internal, "internal", "an assumption of the proxy did not hold; please report it")

enum class Reason : uint8_t {
#define X(name, label, text) name,
  WEIR_REASONS(X)
#undef X
};

// The metric label and access-log word.
std::string_view label(Reason reason);
// The sentence with its hint, for people.
std::string_view sentence(Reason reason);
inline constexpr int kReasonCount = 0
#define X(name, label, text) +1  // NOLINT(bugprone-macro-parentheses): a term of a sum
    WEIR_REASONS(X)
#undef X
    ;

}  // namespace weir
