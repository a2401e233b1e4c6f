#pragma once
// The pieces that the resources of mesh.proto share, from the wire to values: each returns false and says in `wrong`
// which field it is and what it may be. Used by stage*.cc only.
// Thread: config, pure.
#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nodeproxy/base/ip.h"
#include "nodeproxy/config/mesh.pb.h"
#include "nodeproxy/config/routes.h"
#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/config/traffic.h"

namespace weir::config {

namespace v1 = mesh::v1;

bool read_address(const std::string& field, const std::string& bytes, Ip& into, std::string& wrong);
// Dropping repetitions.
bool read_addresses(const google::protobuf::RepeatedPtrField<std::string>& from, std::vector<Ip>& into,
                    std::string& wrong);
bool read_prefixes(const char* field, const google::protobuf::RepeatedPtrField<std::string>& from,
                   std::vector<Prefix>& into, std::string& wrong);
bool read_port(const std::string& field, uint32_t from, uint16_t& into, std::string& wrong);
bool read_ports(const char* field, const google::protobuf::RepeatedField<uint32_t>& from,
                std::vector<uint16_t>& into, std::string& wrong);
bool read_mode(const std::string& field, int from, TlsMode& into, std::string& wrong);
inline Locality read_locality(const v1::Locality& from) { return {from.region(), from.zone()}; }

// The type of the first message, outside in, that has fields this program was not built with; empty: none.
std::string type_with_unknown_fields(const google::protobuf::Message& message);

// A field that routes or policies may look at or edit: a token, and none of a connection's or of framing's.
bool read_field_name(const std::string& field, const std::string& from, std::string& into,
                     std::string& wrong);

// Resources, and parts of them, that have a file of their own (stage_policy.cc, stage_routes.cc, stage_filters.cc,
// stage_traffic.cc).
bool read_policy(const v1::Policy& from, Policy& into, std::string& wrong);
bool read_routes(const v1::RouteTable& from, RouteTable& into, std::string& wrong);
bool read_filters(const v1::Filters& from, Filters& into, std::string& wrong);
bool read_traffic(const v1::Traffic& from, Traffic& into, std::string& wrong);
bool read_retry(const v1::Retry& from, Retry& into, std::string& wrong);
void read_timeouts(const v1::Timeouts& from, Timeouts& into);

}  // namespace weir::config
