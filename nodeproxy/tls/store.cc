// Rotation of keys and chains. See store.h.
#include "nodeproxy/tls/store.h"

#include <algorithm>

#include "nodeproxy/base/log.h"

namespace weir::tls {
namespace {

using std::chrono::steady_clock;
constexpr auto kUnansweredRetry = std::chrono::seconds(10);
constexpr auto kBackOffFirst = std::chrono::seconds(1);
constexpr auto kBackOffMax = std::chrono::seconds(60);

}  // namespace

Status CertStore::set_trust(Trust trust) {
  auto bundle = Bundle::make(std::move(trust));
  if (!bundle) return std::unexpected(bundle.error());
  bundle_ = std::move(*bundle);
  for (auto& [identity, entry] : entries_) {
    if (entry.chain.empty()) continue;
    Result<std::shared_ptr<const Context>> made = make(identity, entry.key, entry.chain);
    if (!made) return std::unexpected(made.error());
    entry.context = std::move(*made);
  }
  return {};
}

Status CertStore::add(const std::string& identity) {
  if (const Result<SpiffeId> id = SpiffeId::parse(identity); !id)
    return fail(Source::config, Reason::bad_config, identity + ": " + *id.error().detail);
  ++entries_[identity].users;
  return {};
}

void CertStore::remove(const std::string& identity) {
  const auto found = entries_.find(identity);
  if (found != entries_.end() && --found->second.users == 0) entries_.erase(found);
}

std::vector<SigningRequest> CertStore::due(Now now) {
  std::vector<SigningRequest> requests;
  for (auto& [identity, entry] : entries_) {
    if (entry.context && now.steady - entry.made >= kContextLife) remake(identity, entry, now);
    const bool by_wall =
        entry.context && !entry.pending_key && entry.failures == 0 && now.wall >= entry.renew_wall;
    if (now.steady < entry.due && !by_wall) continue;
    entry.due = now.steady + kUnansweredRetry;
    const Result<SpiffeId> id = SpiffeId::parse(identity);
    if (!id) continue;
    // Repeated with the same key: an agent that was asleep answers every request that waited, the oldest first.
    if (!entry.pending_key) {
      Result<std::shared_ptr<const PrivateKey>> key = PrivateKey::make();
      if (!key) continue;
      entry.pending_key = std::move(*key);
    }
    Result<std::string> csr = entry.pending_key->certificate_request(*id);
    if (!csr) continue;
    requests.push_back({identity, std::move(*csr)});
  }
  return requests;
}

steady_clock::time_point CertStore::next_due() const {
  auto next = steady_clock::time_point::max();
  for (const auto& [identity, entry] : entries_) next = std::min(next, entry.due);
  return next;
}

Result<std::shared_ptr<const Context>> CertStore::make(const std::string& identity,
                                                       const std::shared_ptr<const PrivateKey>& key,
                                                       const std::vector<std::string>& chain) const {
  const Result<SpiffeId> id = SpiffeId::parse(identity);
  if (!id) return std::unexpected(id.error());
  return Context::make(*id, key, chain, bundle_);
}

void CertStore::remake(const std::string& identity, Entry& entry, Now now) const {
  Result<std::shared_ptr<const Context>> made = make(identity, entry.key, entry.chain);
  if (!made) {
    log::error("certificate for {}: its ticket key stays: {}", identity, made.error().describe());
  } else {
    entry.context = std::move(*made);
  }
  entry.made = now.steady;
}

Result<std::shared_ptr<const Context>> CertStore::install(const std::string& identity,
                                                          const std::vector<std::string>& chain, Now now) {
  const auto found = entries_.find(identity);
  // An agent that was asleep answers a request as often as it was repeated; the first answer has been taken.
  if (found != entries_.end() && found->second.context && !chain.empty() &&
      found->second.key->is_of(chain.front())) {
    log::debug("certificate for {}: one more answer to a request that has been answered", identity);
    return found->second.context;
  }
  if (found == entries_.end() || !found->second.pending_key)
    return fail(Source::agent, Reason::bad_config, identity + ": a certificate that was not asked for");
  if (!bundle_)
    return fail(Source::agent, Reason::bad_config, identity + ": a certificate before any trust bundle");
  Entry& entry = found->second;
  Result<std::shared_ptr<const Context>> made = make(identity, entry.pending_key, chain);
  if (made && (*made)->not_after() <= now.wall)
    made = fail(Source::agent, Reason::bad_config, identity + ": the new certificate has expired already");
  if (!made) {
    back_off(entry, now);
    return made;
  }
  entry.key = std::move(entry.pending_key);
  entry.chain = chain;
  entry.context = *made;
  entry.made = now.steady;
  entry.failures = 0;
  // Half of what is left, ±10 % so that a node's identities do not all renew at once. By both clocks: the wall clock may
  // be set back, and then only the monotonic one still knows.
  const auto left = (*made)->not_after() - now.wall;
  const auto half = std::chrono::duration_cast<std::chrono::milliseconds>(left) *
                    std::uniform_int_distribution<int>(450, 550)(random_) / 1000;
  entry.renew_wall = now.wall + half;
  entry.due = now.steady + half;
  entry.expires = now.steady + left;
  return made;
}

void CertStore::refused(const std::string& identity, Now now) {
  const auto found = entries_.find(identity);
  if (found != entries_.end() && found->second.pending_key) back_off(found->second, now);
}

void CertStore::back_off(Entry& entry, Now now) {
  entry.pending_key.reset();
  entry.due = now.steady + std::min<steady_clock::duration>(
                               kBackOffFirst * (1u << std::min(entry.failures, 6u)), kBackOffMax);
  ++entry.failures;
}

std::shared_ptr<const Context> CertStore::get(const std::string& identity, Now now) const {
  const auto found = entries_.find(identity);
  if (found == entries_.end() || !found->second.context) return nullptr;
  const Entry& entry = found->second;
  if (now.wall >= entry.context->not_after() || now.steady >= entry.expires) return nullptr;
  return entry.context;
}

std::vector<CertStore::View> CertStore::view() const {
  std::vector<View> views;
  views.reserve(entries_.size());
  for (const auto& [identity, entry] : entries_) {
    views.push_back(
        {identity, entry.context ? std::optional(entry.context->not_after()) : std::nullopt, entry.failures});
  }
  return views;
}

}  // namespace weir::tls
