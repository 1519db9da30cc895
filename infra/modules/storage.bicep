metadata description = 'The storage account: the app\'s packages, Durable Functions, the state, and the job files.'

@description('The region.')
param location string

@description('Tags of every resource.')
param tags object

@description('What makes the names unique.')
param suffix string

@description('Whether it is closed to the internet, and reached by private endpoints.')
param closed bool

@description('Where Durable Functions keeps its queues and histories: storage, which is here, or scheduler.')
@allowed([
  'storage'
  'scheduler'
])
param durable string

@description('The object id of the app\'s identity.')
param identityPrincipalId string

@description('The object id of who deploys; empty for nobody.')
param deployerPrincipalId string

var roles = loadJsonContent('../roles.json')
var role = 'Microsoft.Authorization/roleDefinitions'
var packages = 'packages'
var jobs = 'jobs'

resource account 'Microsoft.Storage/storageAccounts@2026-04-01' = {
  name: 'stcopyjob${suffix}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    // A state that is lost is taken anew from the destinations' ledgers.
    name: 'Standard_LRS'
  }
  properties: {
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    isLocalUserEnabled: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkAcls: {
      // Open, it lets nobody in without a token of Entra ID and a role.
      defaultAction: closed ? 'Deny' : 'Allow'
      bypass: 'None'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2026-04-01' = {
  parent: account
  name: 'default'
  properties: {
    // A job file that was overwritten or removed can be had back. Versions would do the same, but
    // keep each write of the host's own blobs for ever.
    deleteRetentionPolicy: {
      enabled: true
      days: 7
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: 7
    }
  }
}

resource packageFiles 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-04-01' = {
  parent: blobs
  name: packages
  properties: {
    publicAccess: 'None'
  }
}

resource jobFiles 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-04-01' = {
  parent: blobs
  name: jobs
  properties: {
    publicAccess: 'None'
  }
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices@2026-04-01' = {
  parent: account
  name: 'default'
}

// The table that the app uses when none is named.
resource state 'Microsoft.Storage/storageAccounts/tableServices/tables@2026-04-01' = {
  parent: tables
  name: 'copyjob'
}

// The Functions host keeps keys, locks and packages in containers that it makes itself; the same
// role lets the app read and write job files, and Durable Functions keep large messages:
// https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity
resource hostBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, identityPrincipalId, roles['Storage Blob Data Owner'])
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId(role, roles['Storage Blob Data Owner'])
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Durable Functions makes its own queues, and moves its work through them.
resource durableQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (durable == 'storage') {
  name: guid(account.id, identityPrincipalId, roles['Storage Queue Data Contributor'])
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId(role, roles['Storage Queue Data Contributor'])
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Durable Functions makes its own tables of instances and histories; the state is one more.
resource durableTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (durable == 'storage') {
  name: guid(account.id, identityPrincipalId, roles['Storage Table Data Contributor'])
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId(role, roles['Storage Table Data Contributor'])
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// With a scheduler there is but one table that the app writes: the state.
resource stateTable 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (durable == 'scheduler') {
  name: guid(state.id, identityPrincipalId, roles['Storage Table Data Contributor'])
  scope: state
  properties: {
    roleDefinitionId: subscriptionResourceId(role, roles['Storage Table Data Contributor'])
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Who deploys uploads job files and connections.yaml. What kind of principal it is stays open, since
// a pipeline is none of the users.
resource deployerJobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployerPrincipalId)) {
  name: guid(jobFiles.id, deployerPrincipalId, roles['Storage Blob Data Contributor'])
  scope: jobFiles
  properties: {
    roleDefinitionId: subscriptionResourceId(role, roles['Storage Blob Data Contributor'])
    principalId: deployerPrincipalId
  }
}

@description('Its resource id.')
output id string = account.id

@description('Its name.')
output name string = account.name

@description('Where its blobs are.')
output blobUrl string = account.properties.primaryEndpoints.blob

@description('Where its queues are.')
output queueUrl string = account.properties.primaryEndpoints.queue

@description('Where its tables are.')
output tableUrl string = account.properties.primaryEndpoints.table

@description('The container of the packages that are deployed.')
output packagesUrl string = '${account.properties.primaryEndpoints.blob}${packages}'

@description('The container of the job files.')
output jobsUrl string = '${account.properties.primaryEndpoints.blob}${jobs}'

@description('Where the state is.')
output stateUrl string = 'https://${account.name}.table.${environment().suffixes.storage}'
