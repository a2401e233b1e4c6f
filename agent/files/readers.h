#pragma once
// One function per kind: a document, already known to be of that kind, becomes an object. Kubernetes' kinds are read
// leniently (fields Weir does not use are passed over, as other programs need them); Weir's own kinds and the routes of
// the Gateway API strictly: there, what is not understood would change what happens to traffic.
// All throw Refused. Thread: any.
#include "agent/files/fields.h"
#include "agent/model/objects.h"

namespace weir::agent {

// What Kubernetes allows in a name: lower case letters, digits, dashes, and the characters of `more`.
std::string read_name(const Field& field, std::string_view more = ".");
// `namespaced`: an absent namespace is "default", as kubectl would have it.
Meta read_meta(const Field& document, bool namespaced);

// kubernetes.cc
Namespace read_namespace(const Field& document);
Node read_node(const Field& document);
Pod read_pod(const Field& document);
Service read_service(const Field& document);
EndpointSlice read_endpoint_slice(const Field& document);

// weir_kinds.cc
MeshSettings read_mesh_settings(const Field& document);
PeerAuthentication read_peer_authentication(const Field& document);
Attachment read_attachment(const Field& spec);

// traffic.cc
TrafficPolicy read_traffic_policy(const Field& document);
Timeouts read_timeouts(
    const Field& timeouts);  // that request is not shorter than backendRequest; members unchecked

// authorization.cc
AuthorizationPolicy read_authorization_policy(const Field& document);
// What can be known of a policy whose file is refused: it is marked invalid with `why` and counts as such. Where even
// its attachment or action cannot be read, it is a Deny of its whole namespace. Throws only when it has no name.
AuthorizationPolicy read_refused_policy(const Field& document, const std::string& why);

// routes.cc; reference grants too
HttpRoute read_http_route(const Field& document);
GrpcRoute read_grpc_route(const Field& document);
ReferenceGrant read_reference_grant(const Field& document);

}  // namespace weir::agent
