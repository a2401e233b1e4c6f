// Documents of a file, dispatched by apiVersion and kind. See parse.h.
#include "agent/files/parse.h"

#include <fmt/format.h>

#include <map>

#include "agent/files/documents.h"
#include "agent/files/readers.h"

namespace weir::agent {
namespace {

constexpr std::string_view kGroup = "weir.dev/";
constexpr std::string_view kVersion = "weir.dev/v1alpha1";
constexpr std::string_view kGatewayGroup = "gateway.networking.k8s.io/";

std::optional<Object> read_weir_kind(const Field& document, const std::string& version,
                                     const std::string& kind) {
  if (version != kVersion) document["apiVersion"].refuse("is not known; known is " + std::string(kVersion));
  document.only({"apiVersion", "kind", "metadata", "spec", "status"});
  if (kind == "PeerAuthentication") return read_peer_authentication(document);
  if (kind == "AuthorizationPolicy") return read_authorization_policy(document);
  if (kind == "TrafficPolicy") return read_traffic_policy(document);
  document["kind"].refuse("is not known: " + kind);
}

// The kinds read here, in every version that was ever served; they differ in members that later ones added. Other
// kinds of the group are other programs'.
std::optional<Object> read_gateway_kind(const Field& document, const std::string& version,
                                        const std::string& kind) {
  const bool http = kind == "HTTPRoute", grpc = kind == "GRPCRoute";
  if (!http && !grpc && kind != "ReferenceGrant") return std::nullopt;
  const std::string_view word = std::string_view(version).substr(kGatewayGroup.size());
  if (word != "v1" && word != "v1alpha2" && (grpc || word != "v1beta1")) {
    document["apiVersion"].refuse(grpc ? "is not known; known are v1 and v1alpha2 of GRPCRoute"
                                       : "is not known; known are v1, v1beta1 and v1alpha2 of " + kind);
  }
  document.only({"apiVersion", "kind", "metadata", "spec", "status"});
  if (http) return read_http_route(document);
  if (grpc) return read_grpc_route(document);
  return read_reference_grant(document);
}

// Nothing: a kind of somebody else.
std::optional<Object> read_object(const Field& document) {
  const std::string version = document["apiVersion"].needed_text(), kind = document["kind"].needed_text();
  if (version.starts_with(kGroup)) return read_weir_kind(document, version, kind);
  if (version.starts_with(kGatewayGroup)) return read_gateway_kind(document, version, kind);
  if (version == "discovery.k8s.io/v1" && kind == "EndpointSlice") return read_endpoint_slice(document);
  if (version != "v1") return std::nullopt;
  if (kind == "Namespace") return read_namespace(document);
  if (kind == "Node") return read_node(document);
  if (kind == "Pod") return read_pod(document);
  if (kind == "Service") return read_service(document);
  if (kind == "ConfigMap" && document["metadata"]["namespace"].text() == kWeirNamespace &&
      document["metadata"]["name"].text() == "weir") {
    return read_mesh_settings(document);
  }
  return std::nullopt;
}

void salvage_policies(const std::vector<Field>& documents, const std::string& why, Parsed& into) {
  for (const auto& document : documents) {
    try {
      if (document["apiVersion"].text() == kVersion && document["kind"].text() == "AuthorizationPolicy") {
        into.refused_policies.push_back(read_refused_policy(document, why));
      }
    } catch (const Refused&) {
      continue;  // without a readable name and namespace there is nothing it could bind
    }
  }
}

}  // namespace

Parsed parse_yaml(const std::string& file, const std::string& text) {
  Parsed parsed;
  std::vector<Field> documents;
  try {
    documents = documents_of(text);
    std::map<std::string, int> seen;  // "Pod shop/web-0" → line
    for (const auto& document : documents) {
      auto object = read_object(document);
      if (!object) {
        ++parsed.passed_over;
        continue;
      }
      const auto [first, is_new] = seen.emplace(describe(*object), document.line());
      if (!is_new) {
        throw Refused{document.line(), fmt::format("{} is already in line {}", first->first, first->second)};
      }
      parsed.objects.push_back(std::move(*object));
    }
  } catch (const Refused& refused) {
    parsed.error = SourceError{file, refused.line, refused.reason};
  } catch (const YAML::Exception& error) {
    parsed.error = SourceError{file, error.mark.is_null() ? 0 : error.mark.line + 1, error.msg};
  }
  if (parsed.error) {
    parsed.objects.clear();
    salvage_policies(documents, parsed.error->text(), parsed);
  }
  return parsed;
}

Parsed parse_json(const std::string& name, const nlohmann::json& object) {
  Parsed parsed;
  const Field document(object, "");
  try {
    if (auto read = read_object(document)) {
      parsed.objects.push_back(std::move(*read));
    } else {
      ++parsed.passed_over;
    }
  } catch (const Refused& refused) {
    parsed.error = SourceError{name, 0, refused.reason};
    salvage_policies({document}, parsed.error->text(), parsed);
  }
  return parsed;
}

}  // namespace weir::agent
