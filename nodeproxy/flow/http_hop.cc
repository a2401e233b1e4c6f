// See http_hop.h.
#include "nodeproxy/flow/http_hop.h"

#include "nodeproxy/detect/http.h"

namespace weir::flow {

bool speaks_h2(const balance::Choice& choice, bool client_h2, bool elsewhere) {
  const config::ServicePort& service = *choice.service_port;
  const config::EndpointPort& endpoint = *choice.endpoint_port;
  const std::string& protocol = service.app_protocol.empty() ? endpoint.app_protocol : service.app_protocol;
  const std::string& name = service.name.empty() ? endpoint.name : service.name;
  if (detect::declared_h2(protocol, name)) return true;
  return client_h2 && !(elsewhere && detect::hint_of(protocol, name, service.port) == detect::Hint::http);
}

std::optional<upstream::HttpLease> reuse(const LocalPod& source, const Hop& hop, const SocketAddress& client,
                                         bool h2, bool fresh, const config::PoolSettings& settings) {
  upstream::HttpKeyView key{source.uid(), client.ip, hop.to, hop.identity, hop.workload_uid, hop.way, h2};
  if (hop.way == upstream::Way::lane) {
    const auto certificate = source.context.certificate(source.identity());
    if (!certificate) return std::nullopt;
    key.generation = certificate->generation();
    key.trust_version = certificate->trust_version();
  }
  return source.context.http->reuse(key, fresh, settings);
}

io::Task<Result<upstream::HttpPool::Want>> want_for(LocalPod& source, const Hop& hop, SocketAddress client,
                                                    bool h2, io::TimePoint deadline) {
  upstream::HttpPool::Want want;
  want.key.peer = {source.uid(), client.ip, hop.to, hop.identity, hop.workload_uid};
  want.key.way = hop.way;
  want.key.h2 = h2;
  want.client = client;
  want.netns_fd = source.netns_fd();
  want.deadline = deadline;
  if (hop.way == upstream::Way::lane) {
    want.certificate = co_await own_certificate(source.context, source.identity(), deadline);
    if (!want.certificate) co_return fail(Source::local, Reason::certificate_missing);
    want.key.generation = want.certificate->generation();
    want.key.trust_version = want.certificate->trust_version();
  }
  co_return want;
}

}  // namespace weir::flow
