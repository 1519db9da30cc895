metadata description = 'copyjob on Azure Functions: one resource group with all that it needs.'

targetScope = 'subscription'

@description('The name of the azd environment. It names the resource group, and every name follows from it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('The region. Flex Consumption must be offered there: az functionapp list-flexconsumption-locations.')
@minLength(1)
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('The object id of who deploys, a person or a pipeline: may write jobs and secrets. Empty for nobody.')
param principalId string = ''

@description('Names of the variables that connections refer to as a secret, with commas between: SHOP_PASSWORD,ERP_PASSWORD. Each becomes an app setting that refers to the secret SHOP-PASSWORD of the vault.')
param secretNames string = ''

@description('Whether the app joins a virtual network of its own, and storage and vault are closed to the internet. Peer it with the network where your SQL Servers are.')
param vnet bool = false

@description('The addresses of that network, in CIDR notation, a /25 or larger. They must overlap with no network that it is peered with.')
param vnetAddresses string = '10.60.0.0/22'

@description('Addresses of DNS servers for that network, with commas between: those that know your servers. They must forward privatelink.* to Azure. Empty for the DNS of Azure.')
param vnetDns string = ''

@description('The client id of an app registration in Entra ID, for people and programs to sign in with. Empty for function keys.')
param entraClientId string = ''

@description('Where Durable Functions keeps its queues and histories: in the storage account, or in a Durable Task Scheduler, which is billed by the action.')
@allowed([
  'storage'
  'scheduler'
])
param durable string = 'storage'

@description('Instances that are always running, for the API and for the copies each. 0 starts them when they are needed.')
@minValue(0)
@maxValue(20)
param alwaysReady int = 0

@description('The memory of an instance, in MB.')
@allowed([
  512
  2048
  4096
])
param memoryMb int = 2048

@description('How many instances may be started on demand for each of the API, the copies and the timer.')
@minValue(1)
@maxValue(1000)
param maximumInstances int = 40

@description('For how many days records of runs are kept.')
@minValue(1)
param keepDays int = 90

@description('Where alerts are mailed to. Empty for alerts that are only shown.')
param alertEmail string = ''

@description('Minutes after which a job that is due and did not succeed is an alert.')
@minValue(5)
param lateMinutes int = 60

@description('Hours that a table may lag behind before that is an alert.')
@minValue(1)
param lagHours int = 24

var tags = {
  'azd-env-name': environmentName
}
var suffix = uniqueString(subscription().id, environmentName, location)

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-copyjob-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    location: location
    tags: tags
    suffix: suffix
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    location: location
    tags: tags
    suffix: suffix
    identityPrincipalId: identity.outputs.principalId
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    location: location
    tags: tags
    suffix: suffix
    closed: vnet
    durable: durable
    identityPrincipalId: identity.outputs.principalId
    deployerPrincipalId: principalId
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    location: location
    tags: tags
    suffix: suffix
    closed: vnet
    workspaceId: monitoring.outputs.workspaceId
    identityPrincipalId: identity.outputs.principalId
    deployerPrincipalId: principalId
  }
}

module scheduler 'modules/scheduler.bicep' = if (durable == 'scheduler') {
  name: 'scheduler'
  scope: group
  params: {
    location: location
    tags: tags
    suffix: suffix
    identityPrincipalId: identity.outputs.principalId
    identityClientId: identity.outputs.clientId
  }
}

module network 'modules/network.bicep' = if (vnet) {
  name: 'network'
  scope: group
  params: {
    location: location
    tags: tags
    suffix: suffix
    addresses: vnetAddresses
    dnsServers: vnetDns
    storageId: storage.outputs.id
    vaultId: vault.outputs.id
  }
}

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    location: location
    tags: tags
    suffix: suffix
    identityId: identity.outputs.id
    packagesUrl: storage.outputs.packagesUrl
    subnetId: vnet ? network!.outputs.appSubnetId : ''
    alwaysReady: alwaysReady
    memoryMb: memoryMb
    maximumInstances: maximumInstances
  }
}

module auth 'modules/auth.bicep' = {
  name: 'auth'
  scope: group
  params: {
    appName: app.outputs.name
    entraClientId: entraClientId
  }
}

module settings 'modules/settings.bicep' = {
  name: 'settings'
  scope: group
  params: {
    appName: app.outputs.name
    identityClientId: identity.outputs.clientId
    blobUrl: storage.outputs.blobUrl
    queueUrl: storage.outputs.queueUrl
    tableUrl: storage.outputs.tableUrl
    jobsUrl: storage.outputs.jobsUrl
    stateUrl: storage.outputs.stateUrl
    insightsConnection: monitoring.outputs.insightsConnection
    schedulerConnection: durable == 'scheduler' ? scheduler!.outputs.connection : ''
    signIn: empty(entraClientId) ? 'key' : 'entra'
    keepDays: keepDays
    vaultUrl: vault.outputs.url
    secretNames: secretNames
  }
  // With entra the app lets in whom App Service has signed in: that must stand first.
  dependsOn: [
    auth
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    suffix: suffix
    workspaceId: monitoring.outputs.workspaceId
    email: alertEmail
    lateMinutes: lateMinutes
    lagHours: lagHours
  }
}

@description('The resource group that holds everything.')
output AZURE_RESOURCE_GROUP string = group.name

@description('The name of the function app.')
output COPYJOB_APP string = app.outputs.name

@description('Where the API answers.')
output COPYJOB_URL string = app.outputs.url

@description('The name of the storage account.')
output COPYJOB_STORAGE string = storage.outputs.name

@description('The container of the job files, and of connections.yaml beside them.')
output COPYJOB_JOBS string = storage.outputs.jobsUrl

@description('The state, for copyjob status and copyjob reset from elsewhere.')
output COPYJOB_STATE string = storage.outputs.stateUrl

@description('The name of the vault of the connections\' secrets.')
output COPYJOB_VAULT string = vault.outputs.name

@description('The name of the app\'s identity: grant it rights on sources and destinations.')
output COPYJOB_IDENTITY_NAME string = identity.outputs.name

@description('The client id of the app\'s identity.')
output COPYJOB_IDENTITY_CLIENT_ID string = identity.outputs.clientId

@description('The object id of the app\'s identity: the assignee of a role.')
output COPYJOB_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId

@description('The id of the Log Analytics workspace, for az monitor log-analytics query.')
output COPYJOB_LOGS string = monitoring.outputs.workspaceCustomerId
