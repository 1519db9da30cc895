metadata description = 'A Durable Task Scheduler: Durable Functions keeps queues and histories there instead of in storage.'

@description('The region.')
param location string

@description('Tags of every resource.')
param tags object

@description('What makes the names unique.')
param suffix string

@description('The object id of the app\'s identity.')
param identityPrincipalId string

@description('The client id of the app\'s identity.')
param identityClientId string

var roles = loadJsonContent('../roles.json')

resource scheduler 'Microsoft.DurableTask/schedulers@2026-02-01' = {
  name: 'dts-copyjob-${suffix}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'Consumption'
    }
    // From everywhere, for who has a token of Entra ID and a role: it holds no rows and no secrets.
    ipAllowlist: [
      '0.0.0.0/0'
    ]
  }
}

// Its name is the one in host.json.
resource hub 'Microsoft.DurableTask/schedulers/taskHubs@2026-02-01' = {
  parent: scheduler
  name: 'copyjob'
}

// The app starts orchestrations and does their work, in this hub alone.
resource works 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hub.id, identityPrincipalId, roles['Durable Task Data Contributor'])
  scope: hub
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Durable Task Data Contributor'])
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

@description('How the app connects: as its identity, without a secret.')
output connection string = 'Endpoint=${scheduler.properties.endpoint};Authentication=ManagedIdentity;ClientID=${identityClientId}'
