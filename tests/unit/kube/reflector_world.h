#pragma once
// A reflector and an API server whose every word the test says, with what it told written down in one line of text.
// Owner: the test. Thread: the test's, which turns the loop. Lifetime: one test case.
#include "agent/kube/reflector.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "tests/unit/kube/fake_server.h"

namespace weir::agent {

using kube::Client;
using kube::ClientOptions;
using kube::Reflector;
using Json = nlohmann::json;

inline Json pod(const std::string& name, const std::string& version) {
  return {{"metadata",
           {{"name", name}, {"namespace", "shop"}, {"uid", "u-" + name}, {"resourceVersion", version}}}};
}
inline std::string event(const std::string& type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump() + "\n";
}
inline std::string bookmark(const std::string& version, bool end_of_list = false) {
  Json object{{"metadata", {{"resourceVersion", version}}}};
  if (end_of_list) object["metadata"]["annotations"] = {{"k8s.io/initial-events-end", "true"}};
  return event("BOOKMARK", object);
}
inline std::string error(int code) {
  return event("ERROR", {{"kind", "Status"}, {"code", code}, {"message", "no"}});
}
inline std::string list(const std::vector<Json>& items, const std::string& version,
                        const std::string& token = "") {
  return Json{{"metadata", {{"resourceVersion", version}, {"continue", token}}}, {"items", items}}.dump();
}
inline const std::string kInvalid =
    R"({"kind":"Status","code":422,"message":"sendInitialEvents is forbidden"})";

struct ReflectorWorld {
  Loop loop;
  std::deque<FakeServer::Request> requests;
  FakeServer server{loop, [this](const FakeServer::Request& request) { requests.push_back(request); }};
  std::optional<Client> client;
  std::optional<Reflector> reflector;
  Reflector::Options options;
  kube::Resource resource{"Pod", "v1", "/api/v1/pods", "", "", true};
  std::string told;
  size_t seen = 0;

  ReflectorWorld() {
    options.backoff_first = std::chrono::milliseconds(10);
    options.backoff_max = options.missing_retry = std::chrono::milliseconds(40);
    options.short_life = std::chrono::milliseconds(0);
  }
  void start() {
    ClientOptions to;
    to.server = server.url();
    client.emplace(loop, to);
    Reflector::Handlers handlers;
    handlers.changed = [this](const Json& object) {
      CHECK(object["kind"] == resource.kind);
      CHECK(object["apiVersion"] == resource.api_version);
      told += "+" + object["metadata"]["name"].get<std::string>() + " ";
    };
    handlers.gone = [this](const ObjectName& name) { told += "-" + name.text() + " "; };
    handlers.listed = [this] { told += "listed "; };
    reflector.emplace(loop, *client, resource, handlers, options);
    reflector->start();
  }
  const FakeServer::Request& next() {
    turn_until(loop, [&] { return requests.size() > seen; });
    return requests[seen++];
  }
  // A streaming list that has ended, and goes on as a watch.
  const FakeServer::Request& listed(const std::vector<Json>& items, const std::string& version) {
    const auto& stream = next();
    CHECK_THAT(stream.query, Catch::Contains("sendInitialEvents=true"));
    stream.begin_stream();
    for (const auto& item : items) stream.chunk(event("ADDED", item));
    stream.chunk(bookmark(version, true));
    turn_until(loop, [&] { return reflector->status().lists > 0 && reflector->status().connected; });
    return stream;
  }
  std::string what() {
    turn_for(loop, 20);
    return std::exchange(told, {});
  }
  void expect(const std::string& expected) {
    turn_until(loop, [&] { return told.size() >= expected.size(); });
    CHECK(what() == expected);
  }
};

}  // namespace weir::agent
