metadata description = 'The function app, on a Flex Consumption plan. Its settings are in settings.bicep.'

@description('The region.')
param location string

@description('Tags of every resource.')
param tags object

@description('What makes the names unique.')
param suffix string

@description('The resource id of the identity that it runs as.')
param identityId string

@description('The container of the packages that are deployed.')
param packagesUrl string

@description('The resource id of the subnet that it sends from; empty for none.')
param subnetId string

@description('Instances that are always running, for the API and for the copies each.')
@minValue(0)
@maxValue(20)
param alwaysReady int

@description('The memory of an instance, in MB.')
@allowed([
  512
  2048
  4096
])
param memoryMb int

@description('How many instances may be started on demand for each of the API, the copies and the timer.')
@minValue(1)
@maxValue(1000)
param maximumInstances int

// What scales together: the API, and all of Durable Functions. The timer needs no instance of its own.
var ready = alwaysReady == 0 ? [] : [
  {
    name: 'http'
    instanceCount: alwaysReady
  }
  {
    name: 'durable'
    instanceCount: alwaysReady
  }
]

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: 'plan-copyjob-${suffix}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: 'func-copyjob-${suffix}'
  location: location
  // azd finds by it where the service of azure.yaml goes.
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
    }
    functionAppConfig: {
      runtime: {
        name: 'python'
        version: '3.12'
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packagesUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: memoryMb
        maximumInstanceCount: maximumInstances
        alwaysReady: ready
      }
    }
  }
}

// Packages are deployed with a token of Entra ID, never with a password.
resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

@description('Its name.')
output name string = app.name

@description('Where it answers.')
output url string = 'https://${app.properties.defaultHostName}'
