metadata description = 'Signing in with Entra ID, in front of the app: off unless an app registration is named.'

@description('The name of the function app.')
param appName string

@description('The client id of the app registration; empty for function keys.')
param entraClientId string

var on = !empty(entraClientId)

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName
}

// It is written also when it is off, so that it goes off when the registration is taken out.
resource auth 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: {
      enabled: on
    }
    globalValidation: {
      requireAuthentication: on
      unauthenticatedClientAction: on ? 'Return401' : 'AllowAnonymous'
      excludedPaths: [
        '/api/health'
      ]
    }
    // Programs bring a token of their own: nobody is led through a login, so no client secret is kept.
    identityProviders: !on ? {} : {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: entraClientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [
            entraClientId
            'api://${entraClientId}'
          ]
        }
      }
    }
    login: {
      tokenStore: {
        enabled: false
      }
    }
    httpSettings: {
      requireHttps: true
    }
  }
}
