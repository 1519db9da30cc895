metadata description = 'The vault of the connections\' secrets. The app reads them, who deploys sets them.'

@description('The region.')
param location string

@description('Tags of every resource.')
param tags object

@description('What makes the names unique.')
param suffix string

@description('Whether it is closed to the internet, and reached by a private endpoint.')
param closed bool

@description('The resource id of the workspace that is told who read and wrote a secret.')
param workspaceId string

@description('The object id of the app\'s identity.')
param identityPrincipalId string

@description('The object id of who deploys; empty for nobody.')
param deployerPrincipalId string

var roles = loadJsonContent('../roles.json')
var role = 'Microsoft.Authorization/roleDefinitions'

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: 'kv-copyjob-${suffix}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    enablePurgeProtection: true
    // The fewest that there are: for so long the name stays taken after azd down.
    softDeleteRetentionInDays: 7
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkAcls: {
      // Open, it lets nobody in without a token of Entra ID and a role.
      defaultAction: closed ? 'Deny' : 'Allow'
      bypass: 'None'
    }
  }
}

// App settings that refer to a secret are looked up as the app's identity.
resource reads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, identityPrincipalId, roles['Key Vault Secrets User'])
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId(role, roles['Key Vault Secrets User'])
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Who deploys sets the secrets. What kind of principal it is stays open, since a pipeline is none of
// the users.
resource sets 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployerPrincipalId)) {
  name: guid(vault.id, deployerPrincipalId, roles['Key Vault Secrets Officer'])
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId(role, roles['Key Vault Secrets Officer'])
    principalId: deployerPrincipalId
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

@description('Its resource id.')
output id string = vault.id

@description('Its name.')
output name string = vault.name

@description('Where it is, with a slash at the end.')
output url string = vault.properties.vaultUri
