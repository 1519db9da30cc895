metadata description = 'The ways into a resource from within the network, and the names that it has there.'

@description('The region.')
param location string

@description('Tags of every resource.')
param tags object

@description('What makes the names unique.')
param suffix string

@description('The resource id of what the endpoints lead to.')
param targetId string

@description('An endpoint for each of its services: { name, zone }, zone being the DNS zone of its private address.')
@minLength(1)
param services array

@description('The resource id of the network in which the zones are asked.')
param networkId string

@description('The resource id of the subnet that the endpoints take their addresses from.')
param subnetId string

resource endpoints 'Microsoft.Network/privateEndpoints@2025-09-01' = [for service in services: {
  name: 'pe-${service.name}-${suffix}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: service.name
        properties: {
          privateLinkServiceId: targetId
          groupIds: [
            service.name
          ]
        }
      }
    ]
  }
}]

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [for service in services: {
  name: service.zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (service, i) in services: {
  parent: zones[i]
  name: 'network'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}]

resource addresses 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-09-01' = [for (service, i) in services: {
  parent: endpoints[i]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: service.name
        properties: {
          privateDnsZoneId: zones[i].id
        }
      }
    ]
  }
}]
