// Slices for services whose files have none.
#include "agent/files/endpoints.h"

#include <catch2/catch.hpp>

using namespace weir::agent;

namespace {

Pod& pod(Objects& objects, const std::string& name, std::vector<std::string> addresses) {
  Pod pod;
  pod.meta.name = name;
  pod.meta.ns = "shop";
  pod.meta.labels = {{"app", "web"}};
  pod.node = "n1";
  pod.addresses = std::move(addresses);
  objects.add(pod);
  return objects.pods.at({"shop", name});
}

Service& service(Objects& objects) {
  Service service;
  service.meta.name = "web";
  service.meta.ns = "shop";
  service.selector = {{"app", "web"}};
  ServicePort port;
  port.name = "http";
  port.port = 80;
  port.target_name = "h";
  service.ports.push_back(port);
  objects.add(service);
  return objects.services.at({"shop", "web"});
}

// "http=8080: 10.0.0.1 10.0.0.2; …" in the order of names; "!" not ready, "~" terminating.
std::string slices(Objects objects) {
  add_missing_slices(objects);
  std::string out;
  for (const auto& [name, slice] : objects.slices) {
    out += out.empty() ? "" : "; ";
    for (const auto& port : slice.ports) out += port.name + "=" + std::to_string(port.port);
    out += ":";
    for (const auto& endpoint : slice.endpoints) {
      out += " " + endpoint.address + (endpoint.ready ? "" : "!") + (endpoint.terminating ? "~" : "");
    }
  }
  return out;
}

}  // namespace

TEST_CASE("a service without slices gets them from the pods it selects, by family and resolved ports") {
  Objects objects;
  service(objects);
  pod(objects, "a", {"10.0.0.1", "fd00::1"}).ports = {{"h", 8080}};
  pod(objects, "b", {"10.0.0.2"}).ports = {{"h", 8080}};
  pod(objects, "c", {"10.0.0.3"}).ports = {{"h", 9090}};
  pod(objects, "other", {"10.0.0.4"}).meta.labels.clear();
  pod(objects, "done", {"10.0.0.5"}).phase = "Succeeded";
  CHECK(slices(objects) == "http=8080: 10.0.0.1 10.0.0.2; http=9090: 10.0.0.3; http=8080: fd00::1");
}

TEST_CASE("what a service's port says of its protocol is said by the slice's too") {
  Objects objects;
  service(objects).ports[0].app_protocol = "kubernetes.io/h2c";
  pod(objects, "a", {"10.0.0.1"}).ports = {{"h", 8080}};
  add_missing_slices(objects);
  REQUIRE(objects.slices.size() == 1);
  const EndpointSlice& slice = objects.slices.begin()->second;
  REQUIRE(slice.ports.size() == 1);
  CHECK(slice.ports[0].name == "http");
  CHECK(slice.ports[0].app_protocol == "kubernetes.io/h2c");
}

TEST_CASE("pods that are not ready or terminating say so") {
  Objects objects;
  service(objects);
  pod(objects, "a", {"10.0.0.1"}).ready = false;
  pod(objects, "b", {"10.0.0.2"}).meta.deleting = true;
  CHECK(slices(objects) == ": 10.0.0.1! 10.0.0.2!~");
}

TEST_CASE("where a file has a slice of the service, or there is no selector, nothing is added") {
  Objects objects;
  auto& web = service(objects);
  pod(objects, "a", {"10.0.0.1"});
  EndpointSlice written;
  written.meta.ns = "shop";
  written.meta.name = "web-x";
  written.service = "web";
  objects.add(written);
  CHECK(slices(objects) == ":");
  objects.slices.clear();
  web.selector.clear();
  CHECK(slices(objects).empty());
}
