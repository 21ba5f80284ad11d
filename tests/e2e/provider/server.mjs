// A real OpenID provider for the end-to-end suite: loopback only, everything in memory.
//
// Options arrive as one JSON line on stdin; the ports leave as one JSON line on stdout. The process ends when stdin closes.
// Six listeners, each on a free port:
//   http     the provider with issuer http://127.0.0.1:PORT
//   pages    the provider with issuer http://localhost:PORT, for people: it shows its pages and waits
//   https    the provider with issuer https://localhost:PORT; it never asks for a client certificate
//   mtls     the same provider again, asking for a client certificate: its mtls_endpoint_aliases (RFC 8705 5)
//   rp       https, the clients' side: serves their documents (jwks_uri, client metadata), records pings and logout calls
//   control  http, the test driver's door: rotate keys, decide CIBA requests, hand out the recorded calls
import * as crypto from 'node:crypto';
import { EventEmitter } from 'node:events';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import * as readline from 'node:readline';

// stdout carries the ready line and nothing else.
console.log = console.error;
console.info = console.error;

const { Provider, errors, interactionPolicy } = await import('oidc-provider');
const { createLocalJWKSet, jwtVerify } = await import('jose');

const lines = readline.createInterface({ input: process.stdin });
const options = JSON.parse(await new Promise((resolve) => { lines.once('line', resolve); }));
lines.on('close', () => process.exit(0));

const PASSWORD = 'urn:example:acr:password';
const SECOND_FACTOR = 'urn:example:acr:second-factor';
const PHISHING_RESISTANT = 'phr';
const USER_CODE = '1234';

const API_SCOPE = 'api:read api:write';
const JWT_RESOURCE_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const RESOURCES = Object.fromEntries([
  ...JWT_RESOURCE_ALGORITHMS.map((alg) => [
    `https://api.example/${alg}`,
    { scope: API_SCOPE, accessTokenFormat: 'jwt', jwt: { sign: { alg } } },
  ]),
  ['https://orders.example', {
    scope: 'orders.read orders.write pay', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
  }],
  ['https://api.example/opaque', { scope: API_SCOPE, accessTokenFormat: 'opaque' }],
]);
// MCP servers of this machine, on whatever port they are.
const MCP_SERVER = /^http:\/\/127\.0\.0\.1:\d+\/mcp$/;
const MCP_RESOURCE = { scope: 'orders.read orders.write', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };

// ---- keys

function generateKeys() {
  const signing = [
    ['rsa', { modulusLength: 2048 }],
    ['ec', { namedCurve: 'P-256' }],
    ['ec', { namedCurve: 'P-384' }],
    ['ec', { namedCurve: 'P-521' }],
    ['ed25519', {}],
  ];
  const encryption = [['rsa', { modulusLength: 2048 }], ['ec', { namedCurve: 'P-256' }]];
  const generate = (use) => ([type, parameters]) => ({
    ...crypto.generateKeyPairSync(type, parameters).privateKey.export({ format: 'jwk' }),
    kid: crypto.randomUUID(),
    use,
  });
  return [...signing.map(generate('sig')), ...encryption.map(generate('enc'))];
}

// ---- storage: the one interface the provider asks for, over a Map that outlives a provider instance

function createAdapter() {
  const stored = new Map();
  const alive = (key) => {
    const entry = stored.get(key);
    return entry && entry.expires > Date.now() ? entry.payload : undefined;
  };
  const uids = new Map();
  const findBy = (model, property, value) => {
    for (const key of stored.keys()) {
      const payload = key.startsWith(`${model}:`) ? alive(key) : undefined;
      if (payload?.[property] === value) return payload;
    }
    return undefined;
  };
  return class MemoryAdapter {
    constructor(model) { this.model = model; }

    async upsert(id, payload, expiresIn) {
      stored.set(`${this.model}:${id}`, { payload, expires: expiresIn ? Date.now() + expiresIn * 1000 : Infinity });
      if (payload.uid) uids.set(`${this.model}:${payload.uid}`, `${this.model}:${id}`);
    }

    async find(id) { return alive(`${this.model}:${id}`); }

    async findByUid(uid) { return alive(uids.get(`${this.model}:${uid}`)); }

    async findByUserCode(userCode) { return findBy(this.model, 'userCode', userCode); }

    async consume(id) { alive(`${this.model}:${id}`).consumed = Math.floor(Date.now() / 1000); }

    async destroy(id) { stored.delete(`${this.model}:${id}`); }

    async revokeByGrantId(grantId) {
      for (const [key, { payload }] of stored) {
        if (payload.grantId === grantId) stored.delete(key);
      }
    }
  };
}

// ---- the provider

const SIGNING = ['RS', 'PS', 'ES'].flatMap((family) => ['256', '384', '512'].map((bits) => family + bits))
  .concat('EdDSA', 'Ed25519');
const MACS = ['HS256', 'HS384', 'HS512'];
const KEY_MANAGEMENT = ['RSA-OAEP', 'RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW', 'A128KW', 'A256KW', 'dir'];
const CONTENT_ENCRYPTION = ['A128CBC-HS256', 'A256CBC-HS512', 'A128GCM', 'A256GCM'];

function enabledAlgorithms() {
  const uses = ['idToken', 'requestObject', 'userinfo', 'introspection', 'authorization'];
  return Object.fromEntries([
    ['clientAuthSigningAlgValues', [...SIGNING, ...MACS]],
    ['dPoPSigningAlgValues', [...SIGNING]],
    ...uses.flatMap((use) => [
      [`${use}SigningAlgValues`, [...SIGNING, ...MACS]],
      [`${use}EncryptionAlgValues`, [...KEY_MANAGEMENT]],
      [`${use}EncryptionEncValues`, [...CONTENT_ENCRYPTION]],
    ]),
  ]);
}

function subjectOf(certificate) {
  // RFC 4514 2.1: the last relative name first.
  return certificate.subject.split('\n').reverse().join(',');
}

function certificateSubjectMatches(ctx, property, expected) {
  const certificate = ctx.socket.getPeerX509Certificate();
  const names = (certificate.subjectAltName ?? '').split(', ');
  switch (property) {
    case 'tls_client_auth_subject_dn': return subjectOf(certificate) === expected;
    case 'tls_client_auth_san_dns': return names.includes(`DNS:${expected}`);
    case 'tls_client_auth_san_uri': return names.includes(`URI:${expected}`);
    case 'tls_client_auth_san_ip': return names.includes(`IP Address:${expected}`);
    case 'tls_client_auth_san_email': return names.includes(`email:${expected}`);
    default: return false;
  }
}

// Front-Channel Logout 1.0, which the provider lacks: its page that asks shows one frame for each client of the session.
const FRONT_CHANNEL = 'frontchannel_logout_uri';

async function framesOf(ctx) {
  const { provider, session } = ctx.oidc;
  const frames = Object.keys(session.authorizations ?? {}).map(async (clientId) => {
    const uri = (await provider.Client.find(clientId))?.[FRONT_CHANNEL];
    const named = new URLSearchParams({ iss: provider.issuer, sid: session.sidFor(clientId) });
    return uri ? `<iframe src="${uri}?${named.toString().replaceAll('&', '&amp;')}"></iframe>` : '';
  });
  return (await Promise.all(frames)).join('');
}

// Seconds that access tokens of a client live, where a test says so.
const lives = new Map();

function configure(site) {
  const page = (title) => async (ctx, form) => {
    ctx.type = 'html';
    ctx.body = `<!doctype html><title>${title}</title>${typeof form === 'string' ? form : ''}`;
  };
  return {
    acrValues: [PASSWORD, SECOND_FACTOR, PHISHING_RESISTANT],
    adapter: site.adapter,
    claims: {
      acr: null,
      amr: null,
      auth_time: null,
      iss: null,
      sid: null,
      openid: ['sub'],
      profile: ['name', 'given_name', 'family_name', 'preferred_username', 'locale', 'updated_at'],
      email: ['email', 'email_verified'],
      phone: ['phone_number', 'phone_number_verified'],
      address: ['address'],
      roles: ['roles'],
    },
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none',
      'tls_client_auth', 'self_signed_tls_client_auth',
    ],
    clients: site.clients,
    clientBasedCORS: (ctx, origin, client) => client.redirectUris.some((uri) => new URL(uri).origin === origin),
    cookies: { keys: site.cookieKeys },
    discovery: { mtls_endpoint_aliases: site.aliases },
    enabledJWA: enabledAlgorithms(),
    extraTokenClaims(ctx, token) {
      if (!token.accountId) return undefined;
      const { AuthorizationCode, RefreshToken } = ctx.oidc.entities;
      const acr = site.showsPages ? (RefreshToken ?? AuthorizationCode)?.acr : undefined;
      return { roles: options.accounts[token.accountId].roles, ...(acr ? { acr } : {}) };
    },
    features: {
      backchannelLogout: { enabled: true },
      ciba: {
        enabled: true,
        deliveryModes: ['poll', 'ping'],
        processLoginHint: (ctx, hint) => (Object.hasOwn(options.accounts, hint) ? hint : undefined),
        processLoginHintToken: (ctx, hint) => (Object.hasOwn(options.accounts, hint) ? hint : undefined),
        triggerAuthenticationDevice: () => {},
        validateRequestContext: () => {},
        verifyUserCode(ctx, account, userCode) {
          if (!ctx.oidc.client.backchannelUserCodeParameter) return;
          if (!userCode) throw new errors.MissingUserCode('user_code is missing');
          if (userCode !== USER_CODE) throw new errors.InvalidUserCode('user_code is wrong');
        },
      },
      claimsParameter: { enabled: true },
      clientCredentials: { enabled: true },
      clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: page('Enter code'),
        userCodeConfirmSource: page('Confirm device'),
        successSource: page('Device confirmed'),
      },
      devInteractions: { enabled: site.showsPages === true },
      dPoP: {
        enabled: true,
        nonceSecret: site.nonceSecret,
        // At UserInfo no client is known yet when the proof is read: a nonce is always asked for there.
        requireNonce: (ctx) => !ctx.oidc.client?.clientId.endsWith('-no-nonce'),
      },
      encryption: { enabled: true },
      fapi: { enabled: true, profile: (ctx, client) => (client?.clientId.startsWith('fapi2-') ? '2.0' : undefined) },
      introspection: { enabled: true },
      jwtIntrospection: { enabled: true },
      jwtResponseModes: { enabled: true },
      jwtUserinfo: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
        certificateAuthorized: (ctx) => ctx.socket.authorized === true,
        certificateSubjectMatches,
      },
      pushedAuthorizationRequests: { enabled: true },
      registration: { enabled: true, initialAccessToken: site.initialAccessToken ?? false },
      registrationManagement: { enabled: true },
      requestObjects: { enabled: true },
      resourceIndicators: {
        enabled: true,
        // A page that names the API when it asks for a code need not name it again when it redeems the code.
        useGrantedResource: () => site.showsPages === true,
        getResourceServerInfo(ctx, resource) {
          if (MCP_SERVER.test(resource)) return { ...MCP_RESOURCE, audience: resource };
          if (!Object.hasOwn(RESOURCES, resource)) throw new errors.InvalidTarget();
          return { ...RESOURCES[resource], audience: resource };
        },
      },
      revocation: { enabled: true },
      richAuthorizationRequests: {
        enabled: true,
        types: {
          payment: {
            validate(ctx, detail) {
              if (typeof detail.amount !== 'string') {
                throw new errors.InvalidAuthorizationDetails('payment needs an amount');
              }
            },
          },
        },
        authorizationDetailsForGrantSource: (ctx) => ctx.oidc.grant?.rar,
        authorizationDetailsForAccessToken: (ctx, token, source) => (
          source?.rar ?? JSON.parse(ctx.oidc.params.authorization_details)
        ),
        authorizationDetailsForIntrospection: (ctx, token) => token.rar,
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: async (ctx, form) => page('Sign out')(ctx, form + await framesOf(ctx)),
        postLogoutSuccessSource: page('Signed out'),
      },
    },
    extraClientMetadata: { properties: [FRONT_CHANNEL] },
    fetch(url, { dispatcher, ...init }) {
      // The dispatcher given refuses loopback addresses, and every client of the suite lives there.
      return globalThis.fetch(url, init);
    },
    findAccount(ctx, sub) {
      if (!Object.hasOwn(options.accounts, sub)) return undefined;
      return { accountId: sub, claims: async () => ({ sub, ...options.accounts[sub] }) };
    },
    interactions: site.showsPages ? { policy: strongerPolicy() } : { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    jwks: { keys: site.keys.flat() },
    pairwiseIdentifier: (ctx, accountId, client) => crypto.hash('sha256', `${client.sectorIdentifier}\n${accountId}`),
    renderError(ctx, out) {
      ctx.type = 'json';
      ctx.body = out;
    },
    responseTypes: [
      'code', 'id_token', 'id_token token', 'code id_token', 'code token', 'code id_token token', 'none',
    ],
    rotateRefreshToken: true,
    scopes: ['openid', 'offline_access'],
    subjectTypes: ['public', 'pairwise'],
    ttl: { AccessToken: (ctx, token, client) => lives.get(client.clientId) ?? options.access_token_ttl ?? 3600 },
  };
}

// A platform's token as a grant (RFC 7523 2.1) and as the subject of an exchange (RFC 8693), each good once. The keys that
// the client is registered with stand for those of the platform.
function registerAssertionGrants(provider) {
  const used = new Set();
  const grant = (of) => async (ctx) => {
    const { client, params } = ctx.oidc;
    const demands = { audience: provider.issuer, requiredClaims: ['iss', 'sub', 'jti', 'exp'] };
    const verified = await jwtVerify(of(params), createLocalJWKSet(client.jwks), demands).catch((error) => {
      throw new errors.InvalidGrant(error.message);
    });
    if (used.has(verified.payload.jti)) throw new errors.InvalidGrant('the token was used before');
    used.add(verified.payload.jti);
    const token = new provider.ClientCredentials({ client, scope: params.scope });
    ctx.oidc.entity('ClientCredentials', token);
    ctx.body = {
      access_token: await token.save(),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      expires_in: token.expiration,
      token_type: token.tokenType,
    };
  };
  provider.registerGrantType('urn:ietf:params:oauth:grant-type:jwt-bearer', grant((given) => given.assertion), ['assertion', 'scope']);
  provider.registerGrantType(
    'urn:ietf:params:oauth:grant-type:token-exchange',
    grant((given) => given.subject_token),
    ['subject_token', 'subject_token_type', 'requested_token_type', 'scope'],
  );
}

function buildProvider(site) {
  const provider = new Provider(site.issuer, configure(site));
  registerAssertionGrants(provider);
  provider.on('server_error', (ctx, error) => console.error(`server_error at ${ctx.path}:`, error));
  for (const event of [
    'authorization', 'backchannel', 'backchannel_authentication', 'device_authorization', 'discovery', 'end_session', 'grant',
    'introspection', 'jwks', 'pushed_authorization_request', 'registration_create', 'registration_read',
    'registration_update', 'registration_delete', 'revocation', 'userinfo',
  ]) {
    provider.on(`${event}.error`, (ctx, error) => {
      console.error(`${event}.error at ${ctx?.path}: ${error.message}: ${error.error_detail ?? error.error_description ?? ''}`);
    });
  }
  // The provider states no polling interval, which means 5 seconds (RFC 8628 3.2, CIBA 7.3): too long for a test that polls.
  provider.use(async (ctx, next) => {
    await next();
    if (['device_authorization', 'backchannel_authentication'].includes(ctx.oidc?.route) && ctx.status === 200) {
      ctx.body = { ...ctx.body, interval: 1 };
    }
  });
  countRenewals(provider);
  if (site.showsPages) sayHowTheyLoggedIn(provider);
  site.provider = provider;
  site.handle = provider.callback();
}

// Who is logged in at the pages logs in again where that was not enough: acr_values alone would only be a wish.
function strongerPolicy() {
  const policy = interactionPolicy.base();
  policy.get('login').checks.add(new interactionPolicy.Check('weak', 'a stronger login is asked for', ({ oidc }) => {
    const asked = oidc.params.acr_values?.split(' ') ?? [oidc.acr];
    return !asked.includes(oidc.acr) && !oidc.result?.login;
  }));
  return policy;
}

// Who logs in at the pages has done whatever was asked for.
function sayHowTheyLoggedIn(provider) {
  const finish = provider.interactionFinished.bind(provider);
  provider.interactionFinished = async (request, response, result, more) => {
    const { params } = await provider.interactionDetails(request, response);
    const login = result.login && { ...result.login, ...requestedContext(params) };
    return finish(request, response, login ? { ...result, login } : result, more);
  };
}

// ---- renewals: when each came, what was refused, who is killed before the provider looks at his request

const renewals = { times: [], grants: {}, refused: 0, revoked: 0, deaths: 0, kill: 0, grave: '', seen: 0 };

function firstToDie() {
  // The file is there from a death to the next renewal: clients die one at a time.
  try {
    fs.closeSync(fs.openSync(renewals.grave, 'wx'));
    return true;
  } catch {
    return false;
  }
}

function countRenewals(provider) {
  const isRenewal = (ctx) => ctx.oidc.params?.grant_type === 'refresh_token';
  provider.on('grant.success', (ctx) => {
    if (!isRenewal(ctx)) return;
    renewals.times.push(Date.now() / 1000);
    (renewals.grants[ctx.oidc.entities.Grant.jti] ??= []).push(Date.now() / 1000);
  });
  provider.on('grant.error', (ctx) => { if (isRenewal(ctx)) renewals.refused += 1; });
  provider.on('grant.revoked', () => { renewals.revoked += 1; });
  provider.use(async (ctx, next) => {
    const pid = Number(ctx.get('x-pid'));
    if (pid && renewals.kill && ctx.path === '/token' && (renewals.seen += 1) % renewals.kill === 0 && firstToDie()) {
      renewals.deaths += 1;
      process.kill(pid, 'SIGKILL');
      ctx.status = 503;
      return;
    }
    await next();
  });
}

// ---- login and consent, without a person: login_hint names the account, "deny" refuses

async function interact(site, request, response) {
  const { provider } = site;
  const interaction = await provider.interactionDetails(request, response);
  const { params, prompt } = interaction;
  const finish = (result, mergeWithLastSubmission) => (
    provider.interactionFinished(request, response, result, { mergeWithLastSubmission })
  );
  if (params.login_hint === 'deny') {
    await finish({ error: 'access_denied', error_description: 'the user said no' }, false);
  } else if (prompt.name === 'login') {
    const accountId = Object.hasOwn(options.accounts, params.login_hint ?? '') ? params.login_hint : options.default_account;
    await finish({ login: { accountId, ...requestedContext(params) } }, false);
  } else {
    await finish({ consent: { grantId: await grantEverything(provider, interaction) } }, true);
  }
}

function requestedContext(params) {
  const claim = (params.claims ? JSON.parse(params.claims) : {}).id_token?.acr ?? {};
  const acr = claim.value ?? claim.values?.[0] ?? params.acr_values?.split(' ')[0] ?? PASSWORD;
  return { acr, amr: acr === SECOND_FACTOR ? ['pwd', 'otp'] : ['pwd'] };
}

async function grantEverything(provider, { grantId, session, params, prompt: { details } }) {
  const grant = (grantId && await provider.Grant.find(grantId))
    || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(' '));
  if (details.missingOIDCClaims) grant.addOIDCClaims(details.missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  for (const detail of details.rar ?? []) grant.addRar(detail);
  return grant.save();
}

function serve(site) {
  return (request, response) => {
    if (site.showsPages || !request.url.startsWith('/interaction/')) return site.handle(request, response);
    return interact(site, request, response).catch((error) => {
      console.error('interaction:', error);
      response.writeHead(500, { 'content-type': 'text/plain' }).end(error.message);
    });
  };
}

// ---- the clients' side

const documents = new Map(Object.entries(options.documents ?? {}));
const calls = [];
const arrivals = new EventEmitter();

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function serveClients(request, response) {
  const { pathname } = new URL(request.url, 'https://localhost');
  if (request.method === 'GET') {
    const found = documents.get(pathname);
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(found ?? {}));
    return;
  }
  calls.push({ path: pathname, headers: request.headers, body: await readBody(request) });
  response.writeHead(pathname.startsWith('/ciba/') ? 204 : 200).end();
  arrivals.emit('call');
}

async function takeCall(path, timeout) {
  const deadline = AbortSignal.timeout(timeout * 1000);
  for (;;) {
    const index = calls.findIndex((call) => call.path === path);
    if (index >= 0) return calls.splice(index, 1)[0];
    await new Promise((resolve, reject) => {
      const done = (settle, value) => {
        arrivals.removeListener('call', arrived);
        deadline.removeEventListener('abort', expired);
        settle(value);
      };
      const arrived = () => done(resolve);
      const expired = () => done(reject, new Error(`no call to ${path} within ${timeout} s`));
      arrivals.once('call', arrived);
      deadline.addEventListener('abort', expired);
    });
  }
}

// ---- the driver's door

async function decideCiba({ auth_req_id: id, approve, acr = PASSWORD, amr = ['pwd'] }) {
  for (const { provider } of sites) {
    const request = await provider.BackchannelAuthenticationRequest.find(id);
    if (request) {
      await provider.backchannelResult(
        request,
        approve ? await grantCiba(provider, request) : new errors.AccessDenied('the user said no'),
        approve ? { acr, amr, authTime: Math.floor(Date.now() / 1000) } : undefined,
      );
      return {};
    }
  }
  throw new Error('no such CIBA request');
}

async function grantCiba(provider, { clientId, accountId, scope, resource, params }) {
  const grant = new provider.Grant({ clientId, accountId });
  grant.addOIDCScope(scope);
  for (const identifier of [resource ?? []].flat()) grant.addResourceScope(identifier, scope);
  for (const detail of JSON.parse(params.authorization_details ?? '[]')) grant.addRar(detail);
  await grant.save();
  return grant;
}

const controls = {
  '/renewals': (asked) => Object.assign(renewals, asked),
  '/rotate': ({ keep_previous: keepPrevious }) => {
    // The key set of a live instance is fixed: a new instance over the same storage takes its place.
    const keys = generateKeys();
    for (const site of sites) {
      site.keys = keepPrevious ? [keys, site.keys[0]] : [keys];
      buildProvider(site);
    }
    return { kids: keys.map(({ kid }) => kid) };
  },
  '/ciba': decideCiba,
  '/lives': ({ client_id: clientId, seconds }) => {
    lives.set(clientId, seconds);
    return {};
  },
  '/calls': ({ path, timeout }) => takeCall(path, timeout),
  '/documents': ({ path, document }) => {
    documents.set(path, document);
    return {};
  },
};

async function serveControl(request, response) {
  try {
    const answer = await controls[request.url](JSON.parse(await readBody(request)));
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  } catch (error) {
    response.writeHead(500, { 'content-type': 'text/plain' }).end(error.message);
  }
}

// ---- start: listen first, because the ports are part of the issuers and of the clients' URLs

const tls = { cert: fs.readFileSync(options.tls.cert), key: fs.readFileSync(options.tls.key) };
const clientTls = { ca: fs.readFileSync(options.tls.ca), requestCert: true, rejectUnauthorized: false };

function listen(server) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  });
}

const sites = [{}, {}, { showsPages: true }];
const [plain, secure, pages] = sites;
const [httpPort, pagesPort, httpsPort, mtlsPort, rpPort, controlPort] = await Promise.all([
  http.createServer(serve(plain)),
  http.createServer(serve(pages)),
  https.createServer(tls, serve(secure)),
  https.createServer({ ...tls, ...clientTls }, serve(secure)),
  https.createServer(tls, serveClients),
  http.createServer(serveControl),
].map(listen));

const rp = `https://localhost:${rpPort}`;
const mtls = `https://localhost:${mtlsPort}`;
const placed = (value) => JSON.parse(JSON.stringify(value).replaceAll('{rp}', rp));
for (const [path, value] of documents) documents.set(path, placed(value));
const keys = generateKeys();
for (const site of sites) {
  Object.assign(site, {
    adapter: createAdapter(),
    clients: placed(options.clients),
    cookieKeys: [crypto.randomBytes(32).toString('hex')],
    keys: [keys],
    nonceSecret: crypto.randomBytes(32),
  });
}
plain.issuer = `http://127.0.0.1:${httpPort}`;
pages.issuer = `http://localhost:${pagesPort}`;
secure.issuer = `https://localhost:${httpsPort}`;
secure.initialAccessToken = options.initial_access_token;
secure.aliases = {
  token_endpoint: `${mtls}/token`,
  revocation_endpoint: `${mtls}/token/revocation`,
  introspection_endpoint: `${mtls}/token/introspection`,
  device_authorization_endpoint: `${mtls}/device/auth`,
  pushed_authorization_request_endpoint: `${mtls}/request`,
  backchannel_authentication_endpoint: `${mtls}/backchannel`,
  userinfo_endpoint: `${mtls}/me`,
};
sites.forEach(buildProvider);

process.stdout.write(`${JSON.stringify({
  issuer: plain.issuer,
  pages_issuer: pages.issuer,
  secure_issuer: secure.issuer,
  mtls,
  rp,
  control: `http://127.0.0.1:${controlPort}`,
})}\n`);
