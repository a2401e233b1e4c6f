// Accounts and their turns. See fair_queue.h.
#include "nodeproxy/io/fair_queue.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "nodeproxy/base/limits.h"

namespace weir::io {
namespace {

constexpr uint32_t kAccounts = 1024;
constexpr int64_t kQuantum_ns = std::chrono::nanoseconds(limits::turn_quantum).count();

// One multiplication folded upon itself, as wyhash mixes: quick, and not to be foreseen without the seeds.
Share share_of(uint64_t first, uint64_t second) {
  static const auto seeds = [] {
    std::array<uint64_t, 2> bits = {0x9E3779B97F4A7C15, 0xD1B54A32D192ED03};
    [[maybe_unused]] const ssize_t got = ::getrandom(bits.data(), sizeof bits, 0);
    return bits;
  }();
  const auto product = static_cast<unsigned __int128>(first ^ seeds[0]) * (second ^ seeds[1]);
  const uint64_t mixed = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  return static_cast<Share>(1 + mixed % (kAccounts - 1));
}

}  // namespace

Share share_of(const Ip& ip) {
  std::array<uint64_t, 2> halves;
  static_assert(sizeof halves == sizeof ip.bytes());
  std::memcpy(halves.data(), ip.bytes().data(), sizeof halves);
  return share_of(halves[0], halves[1]);
}

Share share_of_listener(int fd) { return share_of(static_cast<uint64_t>(fd), 0); }

FairQueue::FairQueue() : nodes_(1), accounts_(kAccounts) {}

void FairQueue::push(Share share, Item item) {
  uint32_t index = free_;
  if (index == 0) {
    index = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
  } else {
    free_ = nodes_[index].next;
  }
  nodes_[index].item = std::move(item);
  nodes_[index].next = 0;
  Account& account = accounts_[share];
  if (account.first == 0) {
    account.first = index;
    ++busy_;
  } else {
    nodes_[account.last].next = index;
  }
  account.last = index;
  ++items_;
  if (account.active) return;
  account.active = true;
  account.credit_ns = kQuantum_ns;
  append(new_, share);
}

std::pair<Share, FairQueue::Item> FairQueue::pop() {
  if (items_ == 0) std::abort();
  for (;;) {
    const bool fresh = !new_.empty;
    List& list = fresh ? new_ : old_;
    const Share share = list.first;
    Account& account = accounts_[share];
    if (account.credit_ns <= 0) {
      account.credit_ns += kQuantum_ns;
      append(old_, take_first(list));
    } else if (account.first == 0) {
      take_first(list);
      // Once among the old ones: else a pod that always has one thing to do would always be new.
      if (fresh) append(old_, share);
      account.active = fresh;
    } else {
      const uint32_t index = account.first;
      Node& node = nodes_[index];
      account.first = node.next;
      if (account.first == 0) --busy_;
      node.next = free_;
      free_ = index;
      --items_;
      return {share, std::move(node.item)};
    }
  }
}

void FairQueue::charge(Share share, Clock::duration spent) {
  accounts_[share].credit_ns -= std::chrono::nanoseconds(spent).count();
}

void FairQueue::append(List& list, Share share) {
  if (list.empty) {
    list.first = share;
  } else {
    accounts_[list.last].next = share;
  }
  list.last = share;
  list.empty = false;
}

Share FairQueue::take_first(List& list) {
  const Share share = list.first;
  list.empty = share == list.last;
  list.first = accounts_[share].next;
  return share;
}

}  // namespace weir::io
