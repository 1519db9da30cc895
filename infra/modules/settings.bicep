metadata description = 'The app settings: all of them, so that one that is not here is removed.'

@description('The name of the function app.')
param appName string

@description('The client id of the app\'s identity.')
param identityClientId string

@description('Where the blobs of the storage account are.')
param blobUrl string

@description('Where its queues are.')
param queueUrl string

@description('Where its tables are.')
param tableUrl string

@description('The container of the job files.')
param jobsUrl string

@description('Where the state is.')
param stateUrl string

@description('The connection string of Application Insights. It is no secret, since keys are switched off.')
param insightsConnection string

@description('How to connect to the Durable Task Scheduler; empty when there is none.')
param schedulerConnection string

@description('How people sign in: with a function key, or with Entra ID.')
@allowed([
  'key'
  'entra'
])
param signIn string

@description('For how many days records of runs are kept.')
@minValue(1)
param keepDays int

@description('Where the vault is, with a slash at the end.')
param vaultUrl string

@description('Names of the variables that connections refer to as a secret, with commas between.')
param secretNames string

// A secret of a vault has no underscores in its name.
var names = filter(map(split(secretNames, ','), name => trim(name)), name => !empty(name))
var secretSettings = toObject(names, name => name, name => '@Microsoft.KeyVault(SecretUri=${vaultUrl}secrets/${replace(name, '_', '-')})')

var hostSettings = {
  AzureWebJobsStorage__blobServiceUri: blobUrl
  AzureWebJobsStorage__queueServiceUri: queueUrl
  AzureWebJobsStorage__tableServiceUri: tableUrl
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
}

// host.json names it, see tools/durable_backend.py.
var schedulerSettings = empty(schedulerConnection) ? {} : {
  DURABLE_TASK_SCHEDULER_CONNECTION_STRING: schedulerConnection
}

// Why each, is in docs/monitoring.md.
var telemetrySettings = {
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identityClientId}'
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
  PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME: 'copyjob'
  OTEL_TRACES_SAMPLER: 'parentbased_always_on'
  OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: 'azure_sdk,requests,urllib,urllib3'
  OTEL_SERVICE_NAME: appName
}

var appSettings = {
  COPYJOB_JOBS: jobsUrl
  COPYJOB_STATE: stateUrl
  COPYJOB_AUTH: signIn
  COPYJOB_KEEP_DAYS: string(keepDays)
  AZURE_CLIENT_ID: identityClientId
  AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential'
}

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName
}

// A secret that is named like a setting loses: the later ones stand.
resource settings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: union(secretSettings, hostSettings, schedulerSettings, telemetrySettings, appSettings)
}
