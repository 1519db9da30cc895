metadata description = 'The identity that the app signs in with, everywhere. It has no password and no key.'

@description('The region.')
param location string

@description('Tags of every resource.')
param tags object

@description('What makes the names unique.')
param suffix string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-copyjob-${suffix}'
  location: location
  tags: tags
}

@description('Its resource id.')
output id string = identity.id

@description('Its name, which a database user is created by.')
output name string = identity.name

@description('Its client id, which a program asks for a token by.')
output clientId string = identity.properties.clientId

@description('Its object id, which roles are assigned to.')
output principalId string = identity.properties.principalId
