// A real OAuth server that this project did not write, for the gateway's token methods.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const machine = { grant_types: ['client_credentials'], response_types: [], redirect_uris: [] };
const provider = new Provider(settings.issuer, {
  clients: [
    { ...machine, client_id: 'koodrive-gateway', client_secret: settings.secret },
    {
      ...machine,
      client_id: 'koodrive-gateway-post',
      client_secret: settings.secret,
      token_endpoint_auth_method: 'client_secret_post',
    },
    {
      ...machine,
      client_id: 'koodrive-gateway-key',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: settings.jwks,
    },
    { ...machine, client_id: 'koodrive', client_secret: settings.koodriveSecret },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    // Tokens are opaque and made out to the one resource there is.
    resourceIndicators: {
      enabled: true,
      defaultResource: () => [],
      getResourceServerInfo: () => ({ scope: '', audience: 'koodrive', accessTokenFormat: 'opaque' }),
    },
  },
});
provider.on('server_error', (_, error) => console.error(error));
provider.listen(settings.port, '127.0.0.1');
