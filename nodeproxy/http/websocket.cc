// See websocket.h.
#include "nodeproxy/http/websocket.h"

#include <openssl/base64.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <span>

namespace weir::http::websocket {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr size_t kKeyBytes = 16, kKeyChars = 24;

std::string base64(std::span<const uint8_t> bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // a NUL is written behind it
  text.resize(EVP_EncodeBlock(reinterpret_cast<uint8_t*>(text.data()), bytes.data(), bytes.size()));
  return text;
}

bool is_base64(char c) {
  const char letter = static_cast<char>(c | 0x20);
  return (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

}  // namespace

std::string new_key() {
  std::array<uint8_t, kKeyBytes> bytes{};
  RAND_bytes(bytes.data(), bytes.size());
  return base64(bytes);
}

bool is_key(std::string_view text) {
  return text.size() == kKeyChars && text.ends_with("==") &&
         std::all_of(text.begin(), text.end() - 2, is_base64);
}

std::string accept(std::string_view key) {
  const std::string text = std::string(key) + std::string(kGuid);
  std::array<uint8_t, SHA_DIGEST_LENGTH> digest{};
  SHA1(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest.data());
  return base64(digest);
}

}  // namespace weir::http::websocket
