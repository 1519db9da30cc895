metadata description = 'Logs, metrics and traces: a Log Analytics workspace, and Application Insights on top of it.'

@description('The region.')
param location string

@description('Tags of every resource.')
param tags object

@description('What makes the names unique.')
param suffix string

@description('The object id of the app\'s identity, which sends.')
param identityPrincipalId string

var roles = loadJsonContent('../roles.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' = {
  name: 'log-copyjob-${suffix}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    // Keeping them longer is billed by the GB. Records of runs are kept in the state anyway.
    retentionInDays: 30
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-copyjob-${suffix}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    // The key in the connection string then lets nobody send: a token of Entra ID does.
    DisableLocalAuth: true
  }
}

// The app sends its telemetry with a token; without this role it is refused.
resource sends 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, identityPrincipalId, roles['Monitoring Metrics Publisher'])
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Monitoring Metrics Publisher'])
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

@description('The resource id of the workspace, for alerts and diagnostic settings.')
output workspaceId string = workspace.id

@description('The id that queries name the workspace by.')
output workspaceCustomerId string = workspace.properties.customerId

@description('Where telemetry is sent. It is no secret, since keys are switched off.')
output insightsConnection string = insights.properties.ConnectionString
