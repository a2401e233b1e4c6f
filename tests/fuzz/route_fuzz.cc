// Route tables and requests. An input of choices makes a table and a request: the match that the index finds must be the
// one that a look at every match finds, and what filters make of the request must still be one that can be sent. A first
// byte of 0 hands the rest to the reader of configuration instead, as a RouteTable on the wire.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "nodeproxy/config/mesh.pb.h"
#include "nodeproxy/config/stage.h"
#include "nodeproxy/http/path.h"
#include "nodeproxy/route/cors.h"
#include "nodeproxy/route/filters.h"
#include "nodeproxy/route/match.h"
#include "nodeproxy/route/persistence.h"
#include "tests/fuzz/bytes.h"

namespace {

using namespace weir;

constexpr std::string_view kSegments[] = {"", "/a", "/b", "/ab", "/a/a", "/%25", "/;", "/c-d.e"};
constexpr std::string_view kMethods[] = {"", "GET", "PUT"};
constexpr std::string_view kValues[] = {"", "1", "2", "1,2", "a b"};

void require(bool holds) {
  if (!holds) std::abort();
}

std::string path(fuzz::Bytes& bytes) {
  std::string text(bytes.one_of(kSegments));
  text += bytes.one_of(kSegments);
  text += bytes.one_of(kSegments);
  return text.empty() ? "/" : text;
}

config::RouteTable table(fuzz::Bytes& bytes) {
  config::RouteTable table;
  config::RouteRule& rule = table.rules.emplace_back();
  rule.filters.request_headers.set.emplace_back("x", "set");
  config::Rewrite& rewrite = rule.filters.rewrite.emplace();
  rewrite.path = {bytes.coin() ? config::PathModifier::To::prefix : config::PathModifier::To::full,
                  path(bytes)};
  for (size_t n = bytes.below(24); n > 0; --n) {
    config::RouteMatch& match = table.matches.emplace_back();
    match.path = bytes.coin() ? config::RouteMatch::Path::prefix : config::RouteMatch::Path::exact;
    match.path_value = path(bytes);
    match.method = bytes.one_of(kMethods);
    if (bytes.below(3) == 0) match.headers.push_back({"x", std::string(bytes.one_of(kValues)), nullptr});
    if (bytes.below(3) == 0) match.query.push_back({"q", std::string(bytes.one_of(kValues)), nullptr});
  }
  config::index_matches(table);
  return table;
}

http::Head request(fuzz::Bytes& bytes) {
  http::Head head;
  head.method = bytes.one_of(kMethods);
  for (size_t n = bytes.below(3); n > 0; --n) head.headers.add("X", bytes.one_of(kValues));
  if (bytes.coin()) head.headers.add("origin", "https://a.example.com");
  head.path = path(bytes) + (bytes.coin() ? "/" : "");
  // What a client may add, also a query.
  head.path += bytes.text();
  head.authority = bytes.text();
  if (bytes.coin()) head.headers.add("cookie", bytes.text());
  return head;
}

void check_filtered(const config::RouteTable& table, const config::RouteMatch& match, http::Head head) {
  const config::RouteRule& rule = table.rules[match.rule];
  const std::string query(http::query_of(head.path));
  http::Head response;
  route::redirect({"https", "", rule.filters.rewrite->path, 0, 302}, match, head, 8080, response);
  require(response.headers.count("location") == 1);
  route::filter_request(rule.filters, match, head);
  require(head.headers.count("x") == 1);
  require(http::query_of(head.path) == query);
  const std::string filtered = head.path;
  require(http::normalise_target(head.path) == http::PathFault::none && head.path == filtered);
}

void check_read(std::string_view wire) {
  mesh::v1::Update update;
  mesh::v1::RouteTable& from = *update.add_changed()->mutable_routes();
  if (!from.ParseFromArray(wire.data(), static_cast<int>(wire.size()))) return;
  const auto staged = config::stage(update);
  if (!staged) return require(!staged.error().text.empty());
  for (const auto& [name, read] : staged->routes) {
    for (const config::RouteMatch& match : read->matches) require(match.rule < read->rules.size());
    http::Head head;
    head.path = "/a/b?q=1";
    const config::RouteMatch* found = route::match(*read, head, "/a/b");
    if (found != nullptr) route::choose(read->rules[found->rule], 7);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Bytes bytes(data, size);
  if (bytes.byte() == 0) {
    check_read(bytes.rest());
    return 0;
  }
  const config::RouteTable made = table(bytes);
  http::Head head = request(bytes);
  if (const auto session = route::decode_session(route::cookie(head.headers, "s").value_or("")))
    require(route::decode_session(route::encode_session(*session)).has_value());
  if (http::normalise_target(head.path) != http::PathFault::none) return 0;
  const std::string_view normal = http::path_of(head.path);
  const config::RouteMatch* expected = nullptr;
  for (const config::RouteMatch& match : made.matches)
    if (expected == nullptr && route::holds(match, head, normal)) expected = &match;
  require(route::match(made, head, normal) == expected);
  if (expected != nullptr) check_filtered(made, *expected, head);
  return 0;
}
