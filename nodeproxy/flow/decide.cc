// Routing a request. See decide.h.
#include "nodeproxy/flow/decide.h"

#include "nodeproxy/balance/hash.h"
#include "nodeproxy/http/grpc.h"
#include "nodeproxy/http/path.h"
#include "nodeproxy/http/query.h"
#include "nodeproxy/policy/judge.h"
#include "nodeproxy/route/cors.h"
#include "nodeproxy/route/filters.h"
#include "nodeproxy/route/match.h"
#include "nodeproxy/route/persistence.h"

namespace weir::flow {
namespace {

LocalAnswer refuse(Reason reason) { return {status_of(reason), reason, {}}; }

// What the service says, where the rule says nothing. Zero lifts a limit: in a plan it is none.
void take_traffic(const config::Traffic& traffic, const config::RouteRule* rule, Plan& plan) {
  plan.timeouts = rule ? config::effective(rule->timeouts, traffic.timeouts) : traffic.timeouts;
  for (auto* limit : {&plan.timeouts.request, &plan.timeouts.backend_request, &plan.timeouts.idle}) {
    if (*limit && limit->value().count() == 0) limit->reset();
  }
  plan.retry = rule && rule->retry ? *rule->retry : traffic.retry;
}

std::optional<uint64_t> hash_of(const config::Service& service, const HttpClient& client,
                                const http::Head& head) {
  if (service.balancer != config::Balancer::ring_hash && service.balancer != config::Balancer::maglev)
    return {};
  const config::HashKey& key = service.traffic.hash;
  std::optional<std::string_view> value;
  std::string decoded;
  switch (key.of) {
    case config::HashKey::Of::source_ip: break;
    case config::HashKey::Of::header: value = head.headers.get(key.name); break;
    case config::HashKey::Of::cookie: value = route::cookie(head.headers, key.name); break;
    case config::HashKey::Of::query:
      if (const auto raw = http::first_parameter(http::query_of(head.path), key.name)) {
        decoded = http::decode_parameter(*raw);
        value = decoded;
      }
      break;
  }
  return balance::hash_of(key, client.address.ip, value);
}

// Filters that work on the response are copied: the snapshot may be another by then. Usually there are none.
void keep_response_filters(const config::RouteRule& rule, const config::Backend& backend,
                           const http::Head& head, Plan& plan) {
  for (const config::Filters* filters : {&backend.filters, &rule.filters}) {
    if (!filters->response_headers.empty())
      plan.response_filters.emplace_back().response_headers = filters->response_headers;
  }
  const auto& cors = backend.filters.cors ? backend.filters.cors : rule.filters.cors;
  if (cors) {
    plan.cors = cors;
    plan.cors_origin = route::cors_grant(*cors, head).origin;
  }
}

// The backend by its weight; with session persistence, the one that the client had, and there the endpoint it had.
const config::Backend* backend_for(const HttpClient& client, const config::RouteRule& rule,
                                   const config::RouteMatch& match, const http::Head& head, Plan& plan) {
  const config::Backend* backend = nullptr;
  if (rule.persistence) {
    plan.session = route::read_session(*rule.persistence, head, http::unix_seconds());
    if (plan.session) backend = route::backend_of(rule, *plan.session);
    if (backend) plan.prefer = plan.session->endpoint;
  }
  if (!backend) backend = route::choose(rule, client.flow.context.balance.random().next());
  if (backend && rule.persistence) {
    plan.persistence = rule.persistence;
    plan.persistence_match.path = match.path;
    plan.persistence_match.path_value = match.path_value;
    plan.persistence_backend.service = backend->service;
    plan.persistence_backend.port = backend->port;
  }
  return backend;
}

std::optional<LocalAnswer> by_rule(const HttpClient& client, const config::RouteRule& rule,
                                   const config::RouteMatch& match, http::Head& head, Plan& plan) {
  Context& context = client.flow.context;
  plan.rule = rule.name;
  plan.grpc = plan.grpc || rule.grpc;
  if (!rule.invalid.empty()) return refuse(Reason::route_invalid);
  if (rule.filters.cors && route::is_preflight(head)) {
    http::Head answer;
    route::answer_preflight(route::cors_grant(*rule.filters.cors, head), head, answer);
    return LocalAnswer{answer.status, Reason::none, std::move(answer.headers)};
  }
  if (rule.filters.redirect) {
    http::Head answer;
    route::redirect(*rule.filters.redirect, match, head, client.dialled.port, answer);
    return LocalAnswer{answer.status, Reason::redirected, std::move(answer.headers)};
  }
  const config::Backend* backend = backend_for(client, rule, match, head, plan);
  if (!backend || backend->service.empty()) return refuse(Reason::route_invalid);
  if (backend->filters.redirect) {
    http::Head answer;
    route::redirect(*backend->filters.redirect, match, head, client.dialled.port, answer);
    return LocalAnswer{answer.status, Reason::redirected, std::move(answer.headers)};
  }
  keep_response_filters(rule, *backend, head, plan);
  for (const config::Filters* filters : {&rule.filters, &backend->filters}) {
    for (const config::Mirror& mirror : filters->mirrors) {
      if (route::mirrored(mirror, context.balance.random().next())) plan.mirrors.push_back(mirror);
    }
  }
  if (!rule.filters.empty()) route::filter_request(rule.filters, match, head);
  if (!backend->filters.empty()) route::filter_request(backend->filters, match, head);
  plan.service = backend->service;
  plan.port = backend->port;
  return {};
}

}  // namespace

std::optional<LocalAnswer> decide(const HttpClient& client, http::Head& head, Plan& plan) {
  plan.grpc = head.headers.get("content-type").value_or("").starts_with("application/grpc");
  if (client.inbound) return {};
  const config::Snapshot& snapshot = *client.flow.context.snapshot;
  const config::Service* service = snapshot.service_at(client.dialled.ip, client.dialled.port);
  const config::ServicePort* port = service ? service->port(client.dialled.port) : nullptr;
  if (!port) return refuse(Reason::no_endpoint);  // the service has gone while the connection lived
  plan.service = service->name;
  plan.port = port->port;
  const config::Workload* self = client.flow.owner.workload();
  const config::RouteTable* table = service->routes_for(port->port, self ? self->ns : std::string());
  const config::RouteRule* rule = nullptr;
  if (table) {
    if (http::normalise_target(head.path) != http::PathFault::none) return refuse(Reason::bad_request);
    const config::RouteMatch* match = route::match(*table, head, http::path_of(head.path));
    if (!match) return refuse(Reason::route_not_found);
    rule = &table->rules[match->rule];
    if (auto answer = by_rule(client, *rule, *match, head, plan)) return answer;
  } else if (head.method == "CONNECT") {
    return refuse(Reason::upgrade_refused);  // only to where a route or policy allows it
  }
  const config::Service* backend = snapshot.services_by_name.find(plan.service);
  if (!backend || !backend->port(plan.port))
    return refuse(table ? Reason::route_invalid : Reason::no_endpoint);
  take_traffic(backend->traffic, rule, plan);
  plan.hash = hash_of(*backend, client, head);
  return {};
}

}  // namespace weir::flow
