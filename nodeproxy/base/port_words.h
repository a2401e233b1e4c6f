#pragma once
// What a Service's port is declared to carry, by its appProtocol, its name or its number. One table for the proxy, which
// goes by it, and the agent, which tells people what it means for their port.
// Pure. Thread: any. Source: Service.appProtocol (KEP-3726); IANA's service names.
#include <cstdint>
#include <string_view>

namespace weir::ports {

// What a port is declared to carry.
enum class Hint : uint8_t {
  unknown,  // the first bytes decide, within the deadline
  http,     // HTTP/1.1 or HTTP/2: the client speaks first, without a deadline
  opaque,   // no look at all
};

// `app_protocol` wins over the port's name ("http", "http-web", "grpc", "tcp", "mysql-main", …); where neither says
// anything, the well-known ports of protocols whose server speaks first are opaque.
Hint hint_of(std::string_view app_protocol, std::string_view port_name, uint16_t port);
// Whether the port is declared to be HTTP/2 by prior knowledge (appProtocol kubernetes.io/h2c, http2, grpc).
bool declared_h2(std::string_view app_protocol, std::string_view port_name);

}  // namespace weir::ports
