// SSO tokens minted by jose (npm), a JOSE library that shares nothing with ours.
//
//     npm install --no-save jose && node tests/interop/jose_tokens.mjs > tests/fixtures/jose/jose.json
//
// Prints a key set and tokens of every algorithm the gateway verifies, good and bad. The private
// keys are forgotten at once; the tokens are valid on one morning of 2030, which is when
// tests/it/accept/interop.rs lets them arrive.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { CompactSign, SignJWT, UnsecuredJWT, exportJWK, generateKeyPair } from "jose";

const NOW = 1_900_000_000;
const CLAIMS = {
  iss: "https://sso.example.com/realms/tools",
  aud: "koodrive-gateway",
  sub: "alice",
  iat: NOW - 10,
  exp: NOW + 290,
};

const pair = async (alg, options) => generateKeyPair(alg, { extractable: true, ...options });
const keys = [];
const tokens = [];

async function published(kid, alg, options, members = {}) {
  const made = await pair(alg, options);
  keys.push({ ...(await exportJWK(made.publicKey)), kid, ...members });
  return made.privateKey;
}

async function add(name, verdict, header, key, claims = {}) {
  const token = await new SignJWT({ ...CLAIMS, ...claims }).setProtectedHeader(header).sign(key);
  tokens.push({ name, verdict, token });
}

for (const alg of ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]) {
  const key = await published(alg.toLowerCase(), alg, { modulusLength: 2048 }, { alg, use: "sig" });
  await add(alg, "accepted", { alg, kid: alg.toLowerCase() }, key);
}
const es256 = await published("es256", "ES256", {}, { alg: "ES256", use: "sig" });
const es384 = await published("es384", "ES384", {}, { use: "sig" });
const eddsa = await published("eddsa", "EdDSA", { crv: "Ed25519" });
const ed25519 = await published("ed25519", "Ed25519", {}, { alg: "Ed25519" });
const es512 = await published("es512", "ES512", {});
await published("encryption", "ECDH-ES", { crv: "P-256" }, { use: "enc" });
await published("oaep", "RS256", { modulusLength: 2048 }, { alg: "RSA-OAEP-256", use: "enc" });

const header = { alg: "ES256", kid: "es256" };
await add("ES256", "accepted", { ...header, typ: "JWT" }, es256);
await add("ES384 without kid", "accepted", { alg: "ES384" }, es384);
await add("EdDSA", "accepted", { alg: "EdDSA", kid: "eddsa" }, eddsa);
await add("Ed25519", "accepted", { alg: "Ed25519", kid: "ed25519" }, ed25519);
await add("audiences", "accepted", header, es256, { aud: ["a", CLAIMS.aud] });
await add("fractions", "accepted", header, es256, { iat: NOW - 1.5, exp: NOW + 10.25 });
await add("expired", "token_expired", header, es256, { exp: NOW - 100 });
await add("not yet", "token_not_yet_valid", header, es256, { nbf: NOW + 100 });
await add("another audience", "token_audience_mismatch", header, es256, { aud: "other" });
await add("another key", "token_signature_invalid", header, (await pair("ES256")).privateKey);
await add("unknown kid", "token_key_unknown", { ...header, kid: "es257" }, es256);
await add("a logout token", "token_malformed", { ...header, typ: "logout+jwt" }, es256);
await add("ES512", "token_algorithm_refused", { alg: "ES512", kid: "es512" }, es512);
await add("HS256", "token_algorithm_refused", { alg: "HS256", kid: "rs256" }, new Uint8Array(32));
const payload = new TextEncoder().encode(JSON.stringify(CLAIMS));
const unencoded = { ...header, b64: true, crit: ["b64"] };
const token = await new CompactSign(payload).setProtectedHeader(unencoded).sign(es256);
tokens.push({ name: "crit", verdict: "token_malformed", token });
const unsecured = new UnsecuredJWT(CLAIMS).encode();
tokens.push({ name: "unsecured", verdict: "token_algorithm_refused", token: unsecured });

const entry = createRequire(import.meta.url).resolve("jose");
const root = entry.slice(0, entry.lastIndexOf("/jose/") + "/jose/".length);
const { version } = JSON.parse(readFileSync(`${root}package.json`));
console.log(JSON.stringify({ library: `jose ${version}`, now: NOW, jwks: { keys }, tokens }, null, 1));
