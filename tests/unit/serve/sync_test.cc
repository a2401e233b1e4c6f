// What one proxy is sent after what, and how one bad object is kept from freezing the rest.
#include "agent/serve/sync.h"

#include <catch2/catch.hpp>

#include "nodeproxy/config/mesh.pb.h"

using namespace weir::agent;
namespace pb = weir::mesh::v1;

namespace {

using Pairs = std::map<ResourceId, std::string>;

std::pair<const ResourceId, std::string> service(const std::string& name, uint32_t affinity) {
  pb::Resource resource;
  resource.mutable_service()->set_name(name);
  resource.mutable_service()->set_session_affinity_seconds(affinity);
  return {{pb::SERVICE, name}, serialize(resource)};
}

std::pair<const ResourceId, std::string> policy(const std::string& name, const std::string& rule) {
  pb::Resource resource;
  resource.mutable_policy()->set_name(name);
  resource.mutable_policy()->set_action(pb::Policy::DENY);
  resource.mutable_policy()->add_rules()->set_name(rule);
  return {{pb::POLICY, name}, serialize(resource)};
}

std::pair<const ResourceId, std::string> routes(const std::string& name, bool grpc = false) {
  pb::Resource resource;
  pb::RouteTable& table = *resource.mutable_routes();
  table.set_name(name);
  table.set_service("shop/web");
  table.add_ports(80);
  table.set_consumer_namespace("till");
  for (const char* rule : {"shop/r/0", "shop/r/1"}) {
    table.add_rules()->set_name(rule);
    table.mutable_rules()->rbegin()->set_grpc(grpc);
    table.add_matches()->set_path_regex("(");
  }
  return {{pb::ROUTES, name}, serialize(resource)};
}

std::shared_ptr<const Resources> world(std::initializer_list<std::pair<const ResourceId, std::string>> all) {
  return std::make_shared<const Resources>(Pairs(all));
}

pb::Update next(Sync& sync) {
  const auto bytes = sync.next();
  REQUIRE(bytes);
  pb::FromAgent message;
  REQUIRE(message.ParseFromString(*bytes));
  REQUIRE(message.has_update());
  return message.update();
}

Sync::Outcome applied(Sync& sync, const pb::Update& update) {
  pb::Ack ack;
  ack.set_version(update.version());
  return sync.acked(ack);
}

Sync::Outcome refused(Sync& sync, const pb::Update& update, int kind, const std::string& name) {
  pb::Ack ack;
  ack.set_version(update.version());
  ack.set_refused(true);
  ack.mutable_object()->set_kind(static_cast<pb::ResourceKind>(kind));
  ack.mutable_object()->set_name(name);
  ack.set_error("no good");
  return sync.acked(ack);
}

}  // namespace

TEST_CASE("first everything, then only what changed, one at a time") {
  Sync sync(nullptr, 41);
  CHECK_FALSE(sync.next());
  sync.want(world({service("a", 1), service("b", 1)}));
  const auto full = next(sync);
  CHECK(full.version() == 42);
  CHECK(full.full_state());
  CHECK(full.changed_size() == 2);

  sync.want(world({service("a", 1), service("c", 1)}));
  CHECK_FALSE(sync.next());  // one is in flight
  sync.want(world({service("a", 2), service("c", 1)}));
  CHECK(applied(sync, full).first);
  const auto delta = next(sync);
  CHECK_FALSE(delta.full_state());
  CHECK(delta.version() == 43);
  REQUIRE(delta.changed_size() == 2);
  CHECK(delta.changed(0).service().session_affinity_seconds() == 2);
  REQUIRE(delta.removed_size() == 1);
  CHECK(delta.removed(0).name() == "b");
  CHECK(delta.removed(0).kind() == pb::SERVICE);
  CHECK_FALSE(applied(sync, delta).first);
  CHECK_FALSE(sync.next());
  sync.want(world({service("a", 2), service("c", 1)}));
  CHECK_FALSE(sync.next());  // nothing differs
}

TEST_CASE("an acknowledgement of another version changes nothing") {
  Sync sync(nullptr, 0);
  sync.want(world({service("a", 1)}));
  auto update = next(sync);
  update.set_version(99);
  CHECK_FALSE(applied(sync, update).applied);
  CHECK_FALSE(sync.synced());
}

TEST_CASE("a refused object stands in with its last good form and the rest arrives") {
  Sync sync(nullptr, 0);
  sync.want(world({service("a", 1), service("b", 1)}));
  applied(sync, next(sync));
  sync.want(world({service("a", 2), service("b", 2)}));
  const auto outcome = refused(sync, next(sync), pb::SERVICE, "a");
  REQUIRE(outcome.quarantined);
  CHECK(outcome.quarantined->name == "a");
  CHECK(outcome.error == "no good");
  const auto rest = next(sync);
  REQUIRE(rest.changed_size() == 1);
  CHECK(rest.changed(0).service().name() == "b");
  applied(sync, rest);
  CHECK_FALSE(sync.next());
  CHECK(sync.quarantine().size() == 1);
  // Others change while it is refused: it stays out of the way.
  sync.want(world({service("a", 2), service("b", 3)}));
  CHECK(next(sync).changed_size() == 1);
}

TEST_CASE("a policy that was never accepted is sent as invalid, other things are left out") {
  Sync sync(nullptr, 0);
  sync.want(world({service("a", 1), policy("p", "r")}));
  refused(sync, next(sync), pb::POLICY, "p");
  auto update = next(sync);
  CHECK(update.full_state());
  REQUIRE(update.changed_size() == 2);
  const auto& sent = update.changed(1).policy();
  CHECK(sent.invalid());
  CHECK(sent.action() == pb::Policy::DENY);
  CHECK(sent.rules_size() == 0);
  refused(sync, update, pb::SERVICE, "a");
  update = next(sync);
  CHECK(update.changed_size() == 1);
  CHECK(applied(sync, update).applied);
}

TEST_CASE("a table of routes that was never accepted answers what it was to govern with 500") {
  for (const bool grpc : {false, true}) {
    Sync sync(nullptr, 0);
    sync.want(world({service("a", 1), routes("t", grpc)}));
    const auto outcome = refused(sync, next(sync), pb::ROUTES, "t");
    REQUIRE(outcome.quarantined);
    CHECK(sync.quarantine().at({pb::ROUTES, "t"}).stand_in == Sync::StandIn::invalid);
    const auto update = next(sync);
    REQUIRE(update.changed_size() == 2);
    const pb::RouteTable& sent = update.changed(1).routes();
    CHECK(sent.name() == "t");
    CHECK(sent.service() == "shop/web");
    CHECK(sent.consumer_namespace() == "till");
    REQUIRE(sent.ports_size() == 1);
    CHECK(sent.ports(0) == 80);
    REQUIRE(sent.rules_size() == 1);
    CHECK(sent.rules(0).name() == "t/refused");
    CHECK(sent.rules(0).invalid() == "the proxy refused these routes: no good");
    CHECK(sent.rules(0).grpc() == grpc);
    REQUIRE(sent.matches_size() == 1);
    CHECK(sent.matches(0).SerializeAsString().empty());  // any request, by the first rule
    // What cannot be said even so (its ports are the fault) is left out at last.
    refused(sync, update, pb::ROUTES, "t");
    const auto without = next(sync);
    CHECK(without.changed_size() == 1);
    CHECK(applied(sync, without).applied);
  }
}

TEST_CASE("a table of routes that was accepted once stands in with its last good form") {
  Sync sync(nullptr, 0);
  sync.want(world({routes("t")}));
  applied(sync, next(sync));
  sync.want(world({service("a", 1), routes("t", true)}));
  refused(sync, next(sync), pb::ROUTES, "t");
  const auto rest = next(sync);
  REQUIRE(rest.changed_size() == 1);
  CHECK(rest.changed(0).has_service());
  CHECK(sync.quarantine().at({pb::ROUTES, "t"}).stand_in == Sync::StandIn::last_good);
}

TEST_CASE("an object that changes gets another chance, and with it all that was refused") {
  Sync sync(nullptr, 0);
  sync.want(world({service("a", 1), service("b", 1)}));
  refused(sync, next(sync), pb::SERVICE, "a");
  refused(sync, next(sync), pb::SERVICE, "b");
  applied(sync, next(sync));
  sync.want(world({service("a", 2), service("b", 1)}));
  CHECK(sync.quarantine().empty());
  CHECK(next(sync).changed_size() == 2);
}

TEST_CASE("a refusal that names nothing known waits for a change instead of repeating itself") {
  Sync sync(nullptr, 0);
  sync.want(world({service("a", 1)}));
  const auto outcome = refused(sync, next(sync), pb::SERVICE, "unheard of");
  CHECK_FALSE(outcome.quarantined);
  CHECK_FALSE(outcome.applied);
  CHECK_FALSE(sync.next());
  sync.want(world({service("a", 2)}));
  CHECK(next(sync).changed_size() == 1);
}

TEST_CASE("however many forms are refused, it ends") {
  Sync sync(world({policy("p", "old")}), 0);
  sync.want(world({policy("p", "new"), service("a", 1)}));
  std::string forms;
  for (int round = 0; round < 10; ++round) {
    const auto update = next(sync);
    const bool has_policy = update.changed_size() == 2;
    if (!has_policy) {
      CHECK(applied(sync, update).applied);
      break;
    }
    const auto& sent = update.changed(1).policy();
    forms += sent.invalid() ? "invalid " : sent.rules(0).name() + " ";
    refused(sync, update, pb::POLICY, "p");
  }
  CHECK(forms == "new old invalid ");
  CHECK_FALSE(sync.next());
}
